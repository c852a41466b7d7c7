"""Detect during training that all images get the same embedding."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook

from snnssl_mm.engine.guards.training_stopped import stop_everywhere
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn, and optionally stop, if the embeddings collapse to one point.

    The measure is ``embedding_std`` of TemporalLossHead, which is computed in every
    iteration: near 1 for embeddings that spread over the sphere, 0 if all are equal.
    Its mean over ``window`` iterations is compared with ``levels``. The hook warns once
    per level; with ``stop=True``, the lowest level ends training. Embeddings that
    differ in a single direction are not detected here, since their spread remains:
    RepresentationHealthHook measures their rank.

    Args:
        levels: Levels of ``embedding_std``, descending. The demo never falls below
            0.79, random weights have 0.62, and RepresentationHealthHook warns at 0.05.
        window: Iterations to average over.
        begin: First iteration to check; networks need some to begin to spike.
        stop: Whether the lowest level ends training.
    """

    priority = "HIGH"  # after mmengine records the value, before anything is saved

    def __init__(
        self,
        levels: Sequence[float] = (0.2, 0.05),
        window: int = 20,
        begin: int = 40,
        stop: bool = False,
    ) -> None:
        falling = sorted(set(levels), reverse=True) == list(levels)
        if not levels or not falling or window < 1:
            raise ValueError(
                "CollapseHook needs descending levels, such as (0.2, 0.05), and window "
                f">= 1 iteration, got levels={levels}, window={window}"
            )
        self.levels = list(levels)
        self.begin = begin
        self.stop = stop
        self.values: deque[float] = deque(maxlen=window)
        self.warned = 0  # number of levels that were reported

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Compare the mean ``embedding_std`` with the levels."""
        if "embedding_std" not in (outputs or {}) or runner.iter < self.begin:
            return
        scalar = runner.message_hub.get_scalar("train/embedding_std")
        self.values.append(scalar.current())  # on the CPU already
        if len(self.values) < (self.values.maxlen or 0):
            return
        spread = fmean(self.values)
        if self.stop and get_world_size() > 1:  # per-rank values: all must agree
            like = next(runner.model.parameters())
            shared = torch.tensor(spread, device=like.device)
            all_reduce(shared, "mean")
            spread = float(shared)
        self.compare(runner, spread)

    def compare(self, runner: Any, spread: float) -> None:
        """Warn if a further level was passed."""
        passed = sum(spread < level for level in self.levels)
        if passed <= self.warned:
            return
        self.warned = passed
        message = (
            f"the representation collapses: at iteration {runner.iter + 1} the mean "
            f"embedding_std of {len(self.values)} iterations is {spread:.3f}, below "
            f"{self.levels[passed - 1]:g} (1: spread out, 0: equal for all images). "
            "Lower optim_wrapper.optimizer.lr, raise the loss's lambd, or check the "
            "views with `snnssl browse`"
        )
        runner.logger.warning(message)
        if self.stop and passed == len(self.levels):
            stop_everywhere(runner, message)
