"""Hooks that need no training to be judged."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from snnssl_mm.engine import EpochSeedHook


def drawn_in_epoch(epoch, seed=0):
    loader = SimpleNamespace(persistent_workers=False)
    runner = SimpleNamespace(train_dataloader=loader, epoch=epoch, seed=seed)
    EpochSeedHook().before_train_epoch(runner)
    own = (random.random(), np.random.rand(), torch.rand(1).item())
    workers = []
    for worker in range(2):
        loader.worker_init_fn(worker)
        workers.append(np.random.rand())
    return own, workers


def test_random_numbers_depend_on_epoch_and_seed_only():
    assert drawn_in_epoch(3) == drawn_in_epoch(3)
    draws = [drawn_in_epoch(e, s) for e, s in ((0, 0), (1, 0), (0, 1))]
    assert len({own for own, _ in draws}) == 3
    assert len({number for _, workers in draws for number in workers}) == 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_cuda_generator_is_seeded_too():
    drawn_in_epoch(3)
    first = torch.rand(1, device="cuda")
    drawn_in_epoch(3)
    assert torch.equal(torch.rand(1, device="cuda"), first)
