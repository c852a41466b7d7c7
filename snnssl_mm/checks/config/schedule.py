"""Check of schedule, batch size and learning rate against the training's length."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from snnssl_mm.checks.config.problem import Problem, counted, error, warning

DECAYING = ("CosineAnnealing", "Poly", "OneCycle")
"""Schedulers whose last value is meant for the last step of the training."""


def check_schedule(
    cfg: Mapping[str, Any], epoch_length: int | None = None
) -> list[Problem]:
    """Check ``param_scheduler`` and the batch size.

    Args:
        cfg: The config.
        epoch_length: Iterations per epoch, to check schedules in iterations too.
    """
    return [*schedulers(cfg, epoch_length), *batches(cfg)]


def check_iterations(cfg: Mapping[str, Any], epoch_length: int) -> list[Problem]:
    """Return the problems that are found only if the length of an epoch is known."""
    known = check_schedule(cfg)
    return [p for p in check_schedule(cfg, epoch_length) if p not in known]


def schedulers(
    cfg: Mapping[str, Any], epoch_length: int | None = None
) -> Iterator[Problem]:
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
    every = [one for one in (found if listed else [found]) if isinstance(one, Mapping)]
    latest = max((one.get("begin", 0) for one in every), default=0)
    for index, one in enumerate(found if listed else [found]):
        key = f"param_scheduler[{index}]" if listed else "param_scheduler"
        if isinstance(one, Mapping):
            yield from scheduler(one, key, iterations, epochs)
            is_last = one.get("begin", 0) == latest
            yield from ending(one, key, loop, is_last, epoch_length)


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


def ending(
    one: Mapping[str, Any],
    key: str,
    loop: Mapping[str, Any],
    is_last: bool,
    epoch_length: int | None,
) -> Iterator[Problem]:
    """Yield a problem if a schedule and the training end at different steps.

    Only the last schedule may not end before the training, and only if it decays.
    """
    begin, end = one.get("begin", 0), one.get("end")
    epochs, iterations = loop.get("max_epochs"), loop.get("max_iters")
    by_epoch, each = one.get("by_epoch", True), 1
    setting, limit = "end", "max_iters" if iterations else "max_epochs"
    length = epochs if by_epoch else iterations
    if not by_epoch and epochs and epoch_length:
        length, each = epochs * epoch_length, epoch_length
    if end is None and one.get("T_max"):
        setting, end = "T_max", begin + one["T_max"]
    if end is None or length is None or end <= begin:
        return
    early = is_last and any(name in str(one.get("type")) for name in DECAYING)
    if abs(end - length) < each or (end < length and not early):
        return
    unit = "epochs" if by_epoch else "iterations"
    effect = "the schedule is cut off"
    if end < length:
        effect = "the learning rate stays at its minimum from then on"
    option = f"{key}.{setting}".replace("[", ".").replace("]", "")
    value = length - begin if setting == "T_max" else length
    text = (
        f"{end}, but training runs {length} {unit}, so {effect}; use --cfg-options "
        f"{option}={value}, or train_cfg.{limit}={max(1, round(end / each))}"
    )
    yield warning(f"{key}.{setting}", text)


def batches_per_update(cfg: Mapping[str, Any]) -> int:
    """Return how many batches' gradients are averaged for an update of the weights.

    OptimWrapper accumulates ``accumulative_counts`` of them, DeepSpeed
    ``gradient_accumulation_steps``.
    """
    wrapper, strategy = cfg.get("optim_wrapper") or {}, cfg.get("strategy") or {}
    own = wrapper.get("accumulative_counts") or 1
    return int(own * (strategy.get("gradient_accumulation_steps") or 1))


def batches(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the global batch size and its learning rate."""
    loader = cfg.get("train_dataloader") or {}
    size = loader.get("batch_size")
    if not size:
        return
    processes = int(os.environ.get("WORLD_SIZE", 1))
    scaling = cfg.get("auto_scale_lr") or {}
    base = scaling.get("base_batch_size")
    total = size * processes * batches_per_update(cfg)
    if base and total != base and not scaling.get("enable"):
        text = (
            f"{counted(processes, 'process', 'processes')} with {size} give a global "
            f"batch size of {total}, but the learning rate is for {base}: pass "
            "--auto-scale-lr"
        )
        if base * processes % total == 0:
            text += f", or use {base * processes // total} processes"
        yield warning("train_dataloader.batch_size", text)
