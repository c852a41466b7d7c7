"""Random numbers that depend on the epoch only, for bit-identical resume."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import set_random_seed

from snnssl_mm.registry import HOOKS


def seed_worker(worker_id: int, seed: int) -> None:
    """Seed Python, NumPy and torch in a data loader worker."""
    set_random_seed(seed + worker_id)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed all random generators before each epoch, data loader workers included.

    mmengine restores weights, optimizer and schedule when a run resumes, but no random
    state, and it seeds workers identically in every epoch. With this hook, training k
    epochs equals training j epochs, resuming, and training k - j epochs.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        """Seed this process, and the workers that start in this epoch."""
        loader = runner.train_dataloader
        if getattr(loader, "persistent_workers", False):
            raise ValueError(
                "EpochSeedHook seeds new workers in each epoch and cannot seed "
                "persistent ones; set train_dataloader.persistent_workers=False, or "
                "use snnssl_mm.IterationSeedHook"
            )
        set_random_seed(self.seed_workers(runner, runner.epoch, get_rank()))

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Seed the workers that start next, if mmengine restarts the loader here."""
        self.seed_workers(runner, runner.epoch, get_rank(), runner.iter + 1)

    def seed_workers(self, runner: Any, *numbers: int) -> int:
        """Let new workers begin with a seed; return another one for this process."""
        entropy = np.random.SeedSequence((runner.seed, *numbers))
        own, workers = (int(s) // 2 for s in entropy.generate_state(2))
        seed = functools.partial(seed_worker, seed=workers)
        runner.train_dataloader.worker_init_fn = seed
        return own
