"""Batches whose random numbers depend on their iteration only.

The main process numbers the batches where their indices are drawn, in front of all
workers, and the process that loads a batch seeds for its number. Restarts of the
loader, persistent workers, their number and prefetching therefore make no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader, IterableDataset

DATA, STEP = 0, 1


def seed_for(seed: int, iteration: int, rank: int, purpose: int) -> None:
    """Seed Python, NumPy and torch for the images or the step of an iteration."""
    entropy = np.random.SeedSequence((seed, iteration, rank, purpose))
    set_random_seed(int(entropy.generate_state(1)[0]) // 2)


def received(indices: list[Any], seed: int, iteration: int, rank: int) -> list[Any]:
    """Seed the worker that receives the indices of a batch, and return them."""
    seed_for(seed, iteration, rank, DATA)
    return indices


class SeededIndices(list[Any]):
    """Indices of a batch that, sent to a worker, seed it for their iteration.

    Args:
        indices: The indices.
        *numbers: Seed of the run, iteration and rank.
    """

    def __init__(self, indices: Sequence[Any], *numbers: int) -> None:
        super().__init__(indices)
        self.numbers = numbers

    def __reduce__(self) -> Any:
        """Let the worker call :func:`received` when it unpickles them."""
        return received, (self[:], *self.numbers)


class SeededBatches:
    """Batch sampler of a loader, each of whose batches seeds for its iteration.

    Args:
        batches: The loader's own batch sampler, whose attributes are this one's too.
        seed: Seed of the run.
        rank: Rank of the process.
        workers: Number of the loader's workers; without, this process is seeded.

    Attributes:
        first: Iteration of the first batch of the next pass over the loader.
        begun: Indices of a pass of which some batches were skipped.
    """

    def __init__(self, batches: Any, seed: int, rank: int, workers: int) -> None:
        self.batches = batches
        self.seed, self.rank, self.workers = seed, rank, workers
        self.first = 0
        self.begun: Iterator[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "batches":  # of an object that is being copied
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __len__(self) -> int:
        return len(self.batches)

    def new_pass(self) -> Iterator[Any]:
        """Start to draw indices; seeds, since some samplers draw random numbers."""
        seed_for(self.seed, self.first, self.rank, DATA)
        return iter(self.batches)

    def __iter__(self) -> Iterator[Any]:
        """Draw the indices of a pass, or of the rest of a pass."""
        indices, self.begun = self.begun or self.new_pass(), None
        for number, batch in enumerate(indices, self.first):
            if self.workers:
                yield SeededIndices(batch, self.seed, number, self.rank)
            else:
                seed_for(self.seed, number, self.rank, DATA)
                yield batch


def seeded_batches(loader: DataLoader, seed: int, rank: int) -> SeededBatches:
    """Let each batch of a loader seed for its iteration; return its batch sampler.

    Args:
        loader: The loader, of which the batch sampler is replaced once.
        seed: Seed of the run.
        rank: Rank of the process.

    Raises:
        ValueError: If the loader has no batches of indices.
    """
    batches: Any = loader.batch_sampler
    if isinstance(batches, SeededBatches):
        return batches
    stream = isinstance(loader.dataset, IterableDataset)
    if batches is None or stream:
        found = "an IterableDataset" if stream else "single samples"
        raise ValueError(
            "random numbers that depend on the iteration need a loader of batches that "
            f"a sampler draws by index, got {found}; use a dataset with indices and "
            "batch_size or batch_sampler, or remove IterationSeedHook (the training "
            "then cannot be resumed with identical images)"
        )
    seeded = SeededBatches(batches, seed, rank, loader.num_workers)
    # Not by assignment: a loader refuses it, since its options depend on each other.
    vars(loader)["batch_sampler"] = seeded
    return seeded


class EndlessBatches:
    """Batches for ``IterBasedTrainLoop``: pass after pass over a loader.

    It differs from mmengine's own iterator where a training resumes: of the batches
    before, only the indices are drawn, whatever the sampler, and nothing is loaded.

    Args:
        loader: The loader.
        batches: Its batch sampler.
    """

    def __init__(self, loader: DataLoader, batches: SeededBatches) -> None:
        self.loader, self.batches = loader, batches
        self.passes = 0
        self.iterator: Iterator[Any] | None = None

    def __iter__(self) -> EndlessBatches:
        return self

    def __next__(self) -> Any:
        """Return the next batch."""
        if self.iterator is None:
            self.iterator = iter(self.loader)
        try:
            return next(self.iterator)
        except StopIteration:
            self.end_pass()
        self.iterator = iter(self.loader)
        return next(self.iterator)

    def end_pass(self) -> None:
        """Let the sampler draw the next pass in another order."""
        self.passes += 1
        sampler: Any = self.loader.sampler
        if not hasattr(sampler, "set_epoch"):
            sampler = getattr(self.batches, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self.passes)

    def skip_iter(self, num_iters: int) -> None:
        """Skip the first batches of a training, before any is taken.

        Args:
            num_iters: Number of batches.
        """
        batches = self.batches
        batches.first = 0
        indices = batches.new_pass()
        for batches.first in range(num_iters):
            if next(indices, None) is None:
                self.end_pass()
                indices = batches.new_pass()
                next(indices)
        batches.first, batches.begun = num_iters, indices
