"""Random numbers that depend on the iteration only, for bit-identical resume."""

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
    """Seed Python, NumPy and torch for the images or the step of an iteration."""
    entropy = np.random.SeedSequence((seed, iteration, rank, purpose))
    set_random_seed(int(entropy.generate_state(1)[0]) // 2)


class SeededCollate:
    """Collate function that seeds for the next batch of the same worker.

    Worker w of W makes the batches w, w + W, w + 2 W, ... of a loader, and begins with
    w again when the loader restarts (persistent workers).

    Args:
        collate: The collate function that makes a batch.
        seed: Seed of the run.
        rank: Rank of the process.
        first: Iteration of the loader's first batch.
        workers: W; with 0 the process itself makes the batches, and the hook seeds.
        length: Batches until the loader restarts; None for an infinite one.
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
        """Seed for a worker's first batch; used as ``worker_init_fn``."""
        self.worker = self.position = worker
        self.seed_for_next()

    def seed_for_next(self) -> None:
        """Seed for the worker's next batch."""
        if self.length is not None and self.position >= self.length:
            self.first += self.length
            self.position = self.worker
        seed_for(self.seed, self.first + self.position, self.rank, DATA)

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Collate the samples, then seed for the next batch."""
        batch = self.collate(samples)
        if self.workers:
            self.position += self.workers
            self.seed_for_next()
        return batch


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed all random generators for the images and for the step of every iteration.

    A resumed run then draws the random numbers of an uninterrupted run: from any
    checkpoint with ``IterBasedTrainLoop``, from one between two epochs with
    ``EpochBasedTrainLoop``. The number of data loader workers, and whether they are
    persistent, does not matter.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        """Prepare the data loader; its workers start when it is first used."""
        loader = runner.train_dataloader
        collate = loader.collate_fn
        if isinstance(collate, SeededCollate):  # of the previous epoch
            collate = collate.collate
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        length = len(loader) if by_epoch else None
        workers = loader.num_workers
        seeded = SeededCollate(
            collate, runner.seed, get_rank(), runner.iter, workers, length
        )
        loader.collate_fn, loader.worker_init_fn = seeded, seeded.start
        # It draws a number when it starts; by default from the generator seeded below.
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
        """Seed again: a validation between two iterations draws numbers, too."""
        self.seed_images(runner, runner.iter)

    def seed_images(self, runner: Any, iteration: int) -> None:
        """Seed for the images of an iteration; workers seed themselves."""
        if runner.train_dataloader.num_workers == 0:
            seed_for(runner.seed, iteration, get_rank(), DATA)
