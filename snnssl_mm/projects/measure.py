"""Measurement of the duration of a config's training step."""

from __future__ import annotations

import copy
import itertools
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from snnssl_mm.checkpoints.preprocessing import model_settings

STEPS = 3  # measured steps, after a first one that compiles and allocates
ENOUGH = 10  # seconds of measurement after which fewer steps suffice


def step_seconds(
    config: str | Path,
    steps: int = STEPS,
    settings: Mapping[str, Any] | None = None,
) -> float:
    """Measure the median step of a config's training: loading, forward, backward.

    Loading is measured in the same process, as if its workers had no cores of their
    own.

    Args:
        config: Config file; its datasets are read.
        steps: Number of measured steps.
        settings: Attributes of the model to set before, as PathScheduleHook does.
    """
    cfg = Config.fromfile(config)
    loader = train_loader(cfg)
    model = MODELS.build(model_settings(cfg))
    for name, value in (settings or {}).items():
        setattr(model, name, value)
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


def training_seconds(config: str | Path) -> float:
    """Estimate the seconds of a config's training by epochs, from a few steps.

    Start-up, evaluation and monitors are not included.

    Args:
        config: Config file; its datasets are read.
    """
    cfg = Config.fromfile(config)
    iterations = len(train_loader(cfg)) * cfg.train_cfg.max_epochs
    hooks = (cfg.get("default_hooks") or {}).values()
    stages: list[Mapping[str, Any]] = [{}]
    for hook in filter(None, hooks):
        stages = hook.get("stages", stages)
    ends = [*(stage["begin"] for stage in stages[1:]), 1]
    seconds, settings = 0.0, dict[str, Any]()
    for stage, end in zip(stages, ends, strict=True):
        settings |= {key: value for key, value in stage.items() if key != "begin"}
        share = end - stage.get("begin", 0)
        seconds += share * iterations * step_seconds(config, settings=settings)
    return seconds


def train_loader(cfg: Config) -> Any:
    """Build the training loader of a config without worker processes."""
    init_default_scope(cfg.default_scope)
    settings: Any = copy.deepcopy(cfg.train_dataloader)
    settings.num_workers = 0
    return Runner.build_dataloader(settings, seed=0)
