"""Measurement of the duration of a config's training step."""

from __future__ import annotations

import copy
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from snnssl_mm.checkpoints.preprocessing import model_settings

STEPS = 3  # measured steps, after a first one that compiles and allocates
ENOUGH = 10  # seconds of measurement after which fewer steps suffice


def step_seconds(config: Path, steps: int = STEPS) -> float:
    """Measure the median step of a config's training: loading, forward, backward.

    Loading is measured in the same process, as if its workers had no cores of their
    own.

    Args:
        config: Config file; its datasets are read.
        steps: Number of measured steps.
    """
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    settings: Any = copy.deepcopy(cfg.train_dataloader)
    settings.num_workers = 0
    loader = Runner.build_dataloader(settings, seed=0)
    model = MODELS.build(model_settings(cfg))
    model.train()
    if torch.cuda.is_available():
        model.cuda()
    taken = []
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for _ in range(1 + steps):
        began = time.monotonic()
        batch = model.data_preprocessor(next(batches), True)
        losses, _ = model.parse_losses(model(**batch, mode="loss"))
        losses.backward()
        model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.monotonic() - began)
        if sum(taken[1:]) > ENOUGH:
            break
    return statistics.median(taken[1:] or taken)
