"""Memory order of tensors, as the kernels walk it.

MixedLIF is elementwise except along time, so a kernel can walk the raw memory of any
dense tensor, channels-last included, without a copy.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_dense(x: Tensor) -> bool:
    """Whether the elements of ``x`` fill memory without gaps, in any order."""
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


def channel_run(x: Tensor) -> int:
    """Number of neighbours in memory that share a channel of ``x`` [T, N, C, ...].

    All positions of a sample if ``x`` is contiguous, 1 if it is channels-last.
    """
    return x[0, 0, 0].numel() if x.is_contiguous() else 1


def channel_major(x: Tensor) -> Tensor:
    """Return ``x`` [T, N, C, ...] if contiguous or channels-last, else a copy."""
    dense = x.is_contiguous() or x.movedim(2, -1).is_contiguous()
    return x if dense else x.contiguous()


def empty_by_channel(x: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Allocate ``steps`` time steps in the memory order of ``channel_major(x)``."""
    shape = (steps, *x.shape[1:])
    if not x.is_contiguous() and x.movedim(2, -1).is_contiguous():
        shape = (*shape[:2], *shape[3:], shape[2])
        return torch.empty(shape, dtype=dtype, device=x.device).movedim(-1, 2)
    return torch.empty(shape, dtype=dtype, device=x.device)
