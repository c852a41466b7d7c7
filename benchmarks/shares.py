"""Shares of a training step's time by category, from torch's profiler.

An operator belongs to the first category that one of its enclosing calls matches, from
the outermost to the innermost. A backward operator belongs to the category of its
forward operator; autograd gives both the same sequence number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

CATEGORIES = {
    "loss": ("benchmark::loss",),
    "optimizer": ("Optimizer.",),
    # Of ours, with the batch norms and poolings among its operators; of spikingjelly.
    "neurons": ("snnssl_mm::", "sj_lif::", "mixedlif", "mixed_lif", "lif_"),
    "convolution": ("convolution", "conv1d", "conv2d"),
    "batch norm": ("batch_norm", "batchnorm"),
    "attention, projector": ("matmul", "linear", "bmm", "aten::mm", "addmm"),
    "pooling": ("max_pool", "maxpool"),
}
BACKWARD = "autograd::engine::evaluate_function"
STEP = "benchmark::step"


def lineage(event: Any) -> list[Any]:
    """Return an event and its enclosing calls in the step, the outermost first."""
    events = [event]
    while event.cpu_parent is not None and event.cpu_parent.name != STEP:
        event = event.cpu_parent
        events.append(event)
    return events[::-1]


def category_of(name: str) -> str | None:
    """Return the category of an operator by its name."""
    name = name.lower()
    for category, parts in CATEGORIES.items():
        if any(part.lower() in name for part in parts):
            return category
    return None


def shares(events: Iterable[Any], on_cuda: bool) -> dict[str, float]:
    """Compute the share of time of every category, in percent; rest in ``'other'``.

    A CUDA kernel is an event of its own, and its time is also that of the operator that
    launched it, where it is counted.
    """
    lines = [lineage(event) for event in events if not is_on_gpu(event)]
    lines.sort(key=lambda line: line[-1].time_range.start)
    forward: dict[int, list[Any]] = {}
    for line in lines:
        if line[-1].sequence_nr >= 0 and not line[0].name.startswith(BACKWARD):
            forward[line[-1].sequence_nr] = line  # the last one made the node

    def category(line: list[Any]) -> str:
        if line[0].name.startswith(BACKWARD):
            line = [*forward.get(line[0].sequence_nr, []), *line]
        found = (category_of(event.name) for event in line)
        return next(filter(None, found), "other")

    times: dict[str, float] = defaultdict(float)
    for line in lines:
        event = line[-1]
        own = event.self_device_time_total if on_cuda else event.self_cpu_time_total
        times[category(line)] += own
    total = sum(times.values())
    return {
        name: round(100 * times[name] / total, 1)
        for name in [*CATEGORIES, "other"]
        if times[name]
    }


def profile_shares(run: Callable[[], Any], device: str) -> dict[str, float]:
    """Profile one run; see :func:`shares`."""
    return shares(profiled(run, device), device == "cuda")


def profiled(run: Callable[[], Any], device: str) -> list[Any]:
    """Return the profiler's events of one run: operators, driver's calls, kernels.

    Those of the profiler itself, such as its own synchronisation, are left out.
    """
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        with torch.profiler.record_function(STEP):
            run()
        if device == "cuda":
            torch.cuda.synchronize()
    return within_step(profiler.events())


def within_step(events: Iterable[Any]) -> list[Any]:
    """Return the kernels, and the operators and calls that began during the step."""
    found = list(events)
    (step,) = (e for e in found if e.name == STEP and not is_on_gpu(e))
    start, end = step.time_range.start, step.time_range.end
    return [
        event
        for event in found
        if event.name != STEP
        and (is_on_gpu(event) or start <= event.time_range.start <= end)
    ]


def is_on_gpu(event: Any) -> bool:
    """Whether an event lies on a GPU's time axis."""
    return bool(event.device_type == DeviceType.CUDA)


def is_kernel(event: Any) -> bool:
    """Whether an event is work of a GPU: a kernel, a copy or a fill."""
    marked = getattr(event, "is_user_annotation", False)
    return is_on_gpu(event) and not marked and not event.name.startswith("benchmark::")


def is_operator(event: Any) -> bool:
    """Whether an event is an operator of torch or of this project."""
    return not is_on_gpu(event) and event.name.startswith(("aten::", "snnssl_mm::"))
