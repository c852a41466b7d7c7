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
from snnssl_mm.engine.lazy_history import is_on_device, logging_interval
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn, and optionally stop, if the embeddings collapse to one point.

    The measure is ``embedding_std``, which TemporalLossHead and MaskedSSL compute in
    every iteration: near 1 for embeddings that spread over the sphere, 0 if all are
    equal.
    Its mean over ``window`` iterations is compared with ``levels``, on a GPU at the
    logging interval, for each iteration since the last time. The hook warns once
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
        self.every = 10
        self.unread = 0  # iterations whose values were not read yet
        self.iteration = 0  # the last of them, from 1

    def before_train(self, runner: Any) -> None:
        """Read values of a GPU at the logger's interval, which fetches them anyway."""
        self.every = logging_interval(runner.hooks)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Compare the mean ``embedding_std`` with the levels."""
        spread = (outputs or {}).get("embedding_std")
        if spread is None or runner.iter < self.begin:
            return
        self.unread += 1
        self.iteration = runner.iter + 1
        if not is_on_device(spread) or self.every_n_inner_iters(batch_idx, self.every):
            self.read(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Read what is left."""
        self.read(runner)

    def read(self, runner: Any) -> None:
        """Read the values since the last time, and compare the mean after each."""
        if not self.unread:
            return
        history, _ = runner.message_hub.get_scalar("train/embedding_std").data
        first = self.iteration - self.unread + 1
        spreads = []
        for iteration, value in enumerate(history[-self.unread :], start=first):
            self.values.append(float(value))
            if len(self.values) == self.values.maxlen:
                spreads.append((iteration, fmean(self.values)))
        self.unread = 0
        for iteration, spread in self.shared(runner, spreads):
            self.compare(runner, iteration, spread)

    def shared(
        self, runner: Any, spreads: list[tuple[int, float]]
    ) -> list[tuple[int, float]]:
        """Average over processes if training may stop: all must agree."""
        if not self.stop or get_world_size() == 1 or not spreads:
            return spreads
        iterations, values = zip(*spreads, strict=True)
        like = next(runner.model.parameters())
        averages = torch.tensor(values, device=like.device)
        all_reduce(averages, "mean")
        return list(zip(iterations, averages.tolist(), strict=True))

    def compare(self, runner: Any, iteration: int, spread: float) -> None:
        """Warn if a further level was passed."""
        passed = sum(spread < level for level in self.levels)
        if passed <= self.warned:
            return
        self.warned = passed
        message = (
            f"the representation collapses: at iteration {iteration} the mean "
            f"embedding_std of {len(self.values)} iterations is {spread:.3f}, below "
            f"{self.levels[passed - 1]:g} (1: spread out, 0: equal for all images). "
            "Lower optim_wrapper.optimizer.lr, check the views with `snnssl browse`, "
            "or raise lambd of CTL or BTL"
        )
        runner.logger.warning(message)
        if self.stop and passed == len(self.levels):
            stop_everywhere(runner, message)
