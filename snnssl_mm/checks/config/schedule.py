"""Check of schedule, batch size and learning rate against the training's length."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from snnssl_mm.checks.config.problem import Problem, error, warning


def check_schedule(cfg: Mapping[str, Any]) -> list[Problem]:
    """Check ``param_scheduler`` and the batch size."""
    return [*schedulers(cfg), *batches(cfg)]


def schedulers(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of all schedulers."""
    loop = cfg.get("train_cfg") or {}
    iterations, epochs = loop.get("max_iters"), loop.get("max_epochs")
    if iterations and epochs:
        text = (
            f"max_epochs={epochs} and max_iters={iterations} are both set; set one of "
            "them to None"
        )
        yield error("train_cfg", text)
        return
    found = cfg.get("param_scheduler") or []
    listed = isinstance(found, (list, tuple))
    for index, one in enumerate(found if listed else [found]):
        key = f"param_scheduler[{index}]" if listed else "param_scheduler"
        if isinstance(one, Mapping):
            yield from scheduler(one, key, iterations, epochs)


def scheduler(
    one: Mapping[str, Any], key: str, iterations: int | None, epochs: int | None
) -> Iterator[Problem]:
    """Yield the problems of one scheduler, given the length of the training."""
    by_epoch = one.get("by_epoch", True)
    begin, end = one.get("begin", 0), one.get("end")
    if end is not None and begin >= end:
        text = f"begin={begin} is not before end={end}, so it has no effect; swap them"
        yield error(key, text)
    if by_epoch and iterations and not one.get("convert_to_iter_based"):
        text = (
            f"the schedule counts epochs, but training runs {iterations} iterations "
            "without epochs, so it has no effect; set by_epoch=False and give begin "
            "and end in iterations"
        )
        yield error(f"{key}.by_epoch", text)
        return
    length = epochs if by_epoch else iterations
    if length is None:
        return
    unit = "epochs" if by_epoch else "iterations"
    if end is not None and end > length:
        text = (
            f"{end}, but training ends earlier, after {length} {unit}; set "
            f"end={length}, or a longer train_cfg"
        )
        yield warning(f"{key}.end", text)
    if begin >= length:
        text = (
            f"{begin}, but training ends after {length} {unit}, so the schedule has no "
            "effect; set an earlier begin"
        )
        yield warning(f"{key}.begin", text)
    milestones = one.get("milestones") or ()
    if late := [m for m in milestones if m >= length]:
        text = f"{late} lie after the {length} {unit} of the training; lower them"
        yield warning(f"{key}.milestones", text)


def batches(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the global batch size and its learning rate."""
    loader = cfg.get("train_dataloader") or {}
    size = loader.get("batch_size")
    if not size:
        return
    processes = int(os.environ.get("WORLD_SIZE", 1))
    scaling = cfg.get("auto_scale_lr") or {}
    base = scaling.get("base_batch_size")
    optimizer = cfg.get("optim_wrapper") or {}
    total = size * processes * optimizer.get("accumulative_counts", 1)
    if base and total != base and not scaling.get("enable"):
        text = (
            f"the global batch size is {total} (processes: {processes}), but the "
            f"learning rate is for {base}: pass --auto-scale-lr"
        )
        if base % size == 0:
            text += f", or use {base // size} processes"
        yield warning("train_dataloader.batch_size", text)
