"""Random numbers that depend on the iteration only, so that any checkpoint will do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, set_random_seed

from snnssl_mm.registry import HOOKS

DATA, STEP = 0, 1


def seed_for(seed: int, iteration: int, rank: int, purpose: int) -> None:
    """Seed Python, NumPy and torch for the images or the step of one iteration."""
    entropy = np.random.SeedSequence((seed, iteration, rank, purpose))
    set_random_seed(int(entropy.generate_state(1)[0]) // 2)


class SeededCollate:
    """Puts a batch together, and seeds for the next one of the same worker.

    Of W workers, worker w makes the batches w, w + W, w + 2 W, ... of a loader, and
    begins with w again when the loader is used again (persistent workers).

    Args:
        collate: What puts a batch together.
        seed: Of the run.
        rank: Of the process.
        first: Iteration that the loader's first batch is for.
        workers: W; with 0 the process itself makes the batches, and the hook seeds.
        length: Batches until the loader is used again; None for one without end.
    """

    def __init__(
        self,
        collate: Callable[[Sequence[Any]], Any],
        seed: int,
        rank: int,
        first: int,
        workers: int,
        length: int | None,
    ) -> None:
        self.collate = collate
        self.seed, self.rank = seed, rank
        self.first, self.length = first, length
        self.workers = workers
        self.worker = self.position = 0

    def start(self, worker: int) -> None:
        """Seed for a worker's first batch; the loader calls it in the worker."""
        self.worker = self.position = worker
        self.seed_for_next()

    def seed_for_next(self) -> None:
        """Seed for the worker's next batch."""
        if self.length is not None and self.position >= self.length:
            self.first += self.length
            self.position = self.worker
        seed_for(self.seed, self.first + self.position, self.rank, DATA)

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Put the samples together."""
        batch = self.collate(samples)
        if self.workers:
            self.position += self.workers
            self.seed_for_next()
        return batch


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed anew for the images and for the step of every iteration.

    A run that resumes then draws what the uninterrupted run would have drawn: from any
    of its checkpoints with ``IterBasedTrainLoop``, from one between two epochs with
    ``EpochBasedTrainLoop``. Neither the number of data loader workers nor whether they
    are persistent makes a difference.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        """Prepare the data loader for its workers, who start when it is first used."""
        loader = runner.train_dataloader
        collate = loader.collate_fn
        if isinstance(collate, SeededCollate):  # of the epoch before
            collate = collate.collate
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        length = len(loader) if by_epoch else None
        workers = loader.num_workers
        seeded = SeededCollate(
            collate, runner.seed, get_rank(), runner.iter, workers, length
        )
        loader.collate_fn, loader.worker_init_fn = seeded, seeded.start
        # It draws a number when it starts, else from the generator that is seeded here.
        loader.generator = torch.Generator()
        self.seed_images(runner, runner.iter)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed for the step."""
        seed_for(runner.seed, runner.iter, get_rank(), STEP)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Seed for the images of the next iteration, if this process loads them."""
        self.seed_images(runner, runner.iter + 1)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Likewise: a validation between two iterations draws numbers, too."""
        self.seed_images(runner, runner.iter)

    def seed_images(self, runner: Any, iteration: int) -> None:
        """Seed for the images of an iteration; workers do so themselves."""
        if runner.train_dataloader.num_workers == 0:
            seed_for(runner.seed, iteration, get_rank(), DATA)
