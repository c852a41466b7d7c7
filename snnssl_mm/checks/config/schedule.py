"""Whether schedule, batch size and learning rate fit the length of the training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from snnssl_mm.checks.config.problem import Problem, error, warning


def check_schedule(cfg: Mapping[str, Any]) -> list[Problem]:
    """Look at ``param_scheduler`` and the batch size."""
    return [*schedulers(cfg), *batches(cfg)]


def schedulers(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of every scheduler."""
    loop = cfg.get("train_cfg") or {}
    iterations, epochs = loop.get("max_iters"), loop.get("max_epochs")
    if iterations and epochs:
        text = (
            f"max_epochs={epochs} and max_iters={iterations}; set one of them to None"
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
    """Problems of one scheduler, with the length of the training."""
    by_epoch = one.get("by_epoch", True)
    begin, end = one.get("begin", 0), one.get("end")
    if end is not None and begin >= end:
        text = f"begin={begin} is not before end={end}; it never acts, exchange them"
        yield error(key, text)
    if by_epoch and iterations and not one.get("convert_to_iter_based"):
        text = (
            f"counts epochs, but the training counts {iterations} iterations and has "
            "no epochs: it never acts; set by_epoch=False and times in iterations"
        )
        yield error(f"{key}.by_epoch", text)
        return
    length = epochs if by_epoch else iterations
    if length is None:
        return
    unit = "epochs" if by_epoch else "iterations"
    if end is not None and end > length:
        text = (
            f"{end}, but the training ends after {length} {unit}: the schedule is cut "
            f"off; set end={length}, or a longer train_cfg"
        )
        yield warning(f"{key}.end", text)
    if begin >= length:
        text = f"{begin}, but the training ends after {length} {unit}: it never acts"
        yield warning(f"{key}.begin", text)
    milestones = one.get("milestones") or ()
    if late := [m for m in milestones if m >= length]:
        text = f"{late} come after the {length} {unit} of the training; lower them"
        yield warning(f"{key}.milestones", text)


def batches(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of the batch size, and of the learning rate for it."""
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
            f"{size} in each of {processes} processes make a batch of {total}, and the "
            f"learning rate is made for one of {base}: use {base / size:g} processes, "
            "or --auto-scale-lr"
        )
        yield warning("train_dataloader.batch_size", text)
