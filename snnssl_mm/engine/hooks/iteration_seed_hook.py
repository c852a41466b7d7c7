"""Random numbers that depend on the iteration only, for bit-identical resume."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from snnssl_mm.engine.seeded_batches import (
    STEP,
    EndlessBatches,
    seed_for,
    seeded_batches,
)
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed all random generators for the images and for the step of every iteration.

    A resumed run then draws the random numbers of an uninterrupted run: from any
    checkpoint with ``IterBasedTrainLoop``, from one between two epochs with
    ``EpochBasedTrainLoop``. The number of data loader workers, and whether they are
    persistent, does not matter, nor do sampler and batch sampler: a run that resumes
    by iterations draws the indices of the images before, and loads none of them.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        """Prepare the data loader; its workers start when it is first used.

        Raises:
            ValueError: If it has no batches of indices.
        """
        loader, loop = runner.train_dataloader, runner.train_loop
        self.batches = seeded_batches(loader, runner.seed, get_rank())
        self.batches.first = runner.iter
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = EndlessBatches(loader, self.batches)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed for the step."""
        seed_for(runner.seed, runner.iter, get_rank(), STEP)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Number the first batch of a pass over the data that begins next."""
        self.batches.first = runner.iter + 1
