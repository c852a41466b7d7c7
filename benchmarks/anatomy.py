"""Anatomy of a step: launches, busy and idle GPU, host, synchronisations.

From the events of torch's profiler. On a CPU, an operator that calls no other takes the
place of a launch, and one that has to wait for a GPU's result that of a
synchronisation.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from device_timing import Cuda, QueuedTimer, Sample
from harness import digits, seconds_of
from shares import is_kernel, is_operator, lineage, profiled

LAUNCHES = re.compile(r"cu(da)?(Launch|GraphLaunch|Memcpy|Memset)")
WAITS = re.compile(r"cu(da)?(Device|Ctx|Stream|Event)Synchronize")
WAITING_OPERATORS = ("aten::_local_scalar_dense", "aten::nonzero")
ONLY_ON_CPU = "aten::_fused_"
"""Names of the driver's calls, of operators whose result the host needs, and of fused
optimizers, which on a CPU, unlike on a GPU, read each parameter's step counter."""

REPEATS = 5
"""Steps whose mean time is that of a step among others."""

KINDS = {
    "transposition": ("nchwtonhwc", "nhwctonchw", "transpose", "permute"),
    "norm and neuron": ("mixed_lif", "batch_moments", "batch_norm", "bn_fw", "bn_bw"),
    "pooling": ("max_pool", "halve"),
    "optimizer": ("multi_tensor", "fused_adam"),
    "convolution": ("conv", "xmma", "implicit", "wgrad", "dgrad", "cudnn"),
    "matrix product": ("gemm", "cutlass", "cublas", "splitk", "nvjet"),
    "reduction": ("reduce",),
    "copy": ("copy", "memcpy", "memset", "cat"),
}
"""Kind of a kernel -> parts of its name; the first kind that fits."""


def busy(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals (start, end)."""
    total, last = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, last))
        last = max(last, end)
    return total


def span(event: Any) -> tuple[float, float]:
    """Start and end of an event in microseconds."""
    return event.time_range.start, event.time_range.end


def gpu_counts(events: Sequence[Any]) -> dict[str, Any]:
    """Count the driver's calls and the kernels; add up the time that kernels cover."""
    calls = [event.name for event in events if not is_kernel(event)]
    kernels = [event for event in events if is_kernel(event)]
    return {
        "launches": sum(bool(LAUNCHES.match(name)) for name in calls),
        "kernels": len(kernels),
        "busy_ms": digits(busy(map(span, kernels)) / 1e3),
        "synchronisations": sum(bool(WAITS.match(name)) for name in calls),
    }


def cpu_counts(events: Sequence[Any]) -> dict[str, Any]:
    """Count operators that call no other, and those that would wait for a GPU."""
    operators = [event for event in events if is_operator(event)]
    callers = {id(event.cpu_parent) for event in operators}
    return {
        "operators": sum(id(event) not in callers for event in operators),
        "synchronisations": sum(
            event.name in WAITING_OPERATORS
            and not any(call.name.startswith(ONLY_ON_CPU) for call in lineage(event))
            for event in operators
        ),
    }


def kind_of(kernel: str) -> str:
    """Kind of a kernel by its name; ``'elementwise'`` if no other."""
    name = kernel.lower()
    found = (
        kind for kind, parts in KINDS.items() if any(part in name for part in parts)
    )
    return next(found, "elementwise")


def kernel_times(events: Iterable[Any], most: int = 25) -> dict[str, Any]:
    """Milliseconds of kernels by kind, and of those that take the most, with counts."""
    kinds: dict[str, float] = defaultdict(float)
    names: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for event in filter(is_kernel, events):
        start, end = span(event)
        name = re.sub(r"<.*", "", event.name)[:70]
        kinds[kind_of(event.name)] += (end - start) / 1e3
        names[name] += (end - start) / 1e3
        counts[name] += 1
    largest = sorted(names, key=lambda name: -names[name])[:most]
    return {
        "ms_by_kind": {name: digits(ms) for name, ms in kinds.items()},
        "largest": [[name, digits(names[name]), counts[name]] for name in largest],
    }


def summary(
    counts: dict[str, Any], seconds: float, host_s: float | None, steps: int = 1
) -> dict[str, Any]:
    """Return counts and times of one step.

    Args:
        counts: Of a run, from :func:`gpu_counts` or :func:`cpu_counts`.
        seconds: Of a run among others, without a profiler, whose cost would be idle
            time of the GPU.
        host_s: Until a run's call returns; None on a CPU, where that is the whole run.
        steps: Of a run.
    """
    found = {**counts, "step_ms": 1e3 * seconds}
    if "busy_ms" in counts:
        found["idle_ms"] = max(0.0, found["step_ms"] - counts["busy_ms"])
    found["host_ms"] = 1e3 * (seconds if host_s is None else host_s)
    return {name: digits(value / steps) for name, value in found.items()}


def anatomy(
    run: Callable[[], Any], device: str, steps: int = 1, seconds: float = 0.0
) -> dict[str, Any]:
    """Measure the anatomy of a step.

    Args:
        run: A warm run.
        device: ``'cpu'`` or ``'cuda'``.
        steps: Number of steps of a run.
        seconds: On a CPU, those of a run if they are known.
    """
    if device == "cpu":
        seconds = seconds or seconds_of(run, 1, device)
        return summary(cpu_counts(profiled(run, device)), seconds, None, steps)
    sample: Sample = QueuedTimer(run, Cuda())()
    seconds = seconds_of(run, REPEATS, device)
    return summary(gpu_counts(profiled(run, device)), seconds, sample.host, steps)
