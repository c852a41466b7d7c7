"""How a kernel sees a tensor's memory.

MixedLIF is elementwise but for its time axis, so a kernel may walk the raw memory of
any dense tensor, channels-last included, without a copy.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_dense(x: Tensor) -> bool:
    """Whether the elements of ``x`` fill one stretch of memory, in any order."""
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def is_step_major(x: Tensor) -> bool:
    """Whether memory holds [T][N][one dense sample], e.g. channels-last samples."""
    steps, samples = x.shape[:2]
    per_sample = x.numel() // (steps * samples)
    return (
        (steps == 1 or x.stride(0) == samples * per_sample)
        and (samples == 1 or x.stride(1) == per_sample)
        and is_dense(x)
    )


def step_major(x: Tensor) -> Tensor:
    """Return ``x`` itself if it is step-major, else a contiguous copy."""
    return x if is_step_major(x) else x.contiguous()


def steps_by_neurons(x: Tensor) -> Tensor:
    """View the raw memory of a step-major tensor as [T, neurons]."""
    steps = x.shape[0]
    neurons = x.numel() // steps
    return x.as_strided((steps, neurons), (neurons, 1))


def empty_step_major(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Allocate an output with the memory order of the step-major tensor ``x``."""
    return torch.empty_like(x, dtype=dtype)
