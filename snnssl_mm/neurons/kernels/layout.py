"""Memory order of tensors, as the kernels walk it.

MixedLIF is elementwise except along time, so a kernel can walk the raw memory of any
dense tensor, channels-last included, without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def is_channels_last(x: Tensor) -> bool:
    """Whether memory holds ``x`` [T, N, C, ...] as [T][N][...][C]."""
    return x.movedim(2, -1).is_contiguous()


def channels_last(x: Tensor) -> Tensor:
    """Return ``x`` [T, N, C, ...] if it is channels-last, else a copy that is."""
    return x if is_channels_last(x) else x.movedim(2, -1).contiguous().movedim(-1, 2)


def channel_major(x: Tensor) -> Tensor:
    """Return ``x`` [T, N, C, ...] if contiguous or channels-last, else a copy."""
    return x if x.is_contiguous() or is_channels_last(x) else x.contiguous()


def empty_by_channel(x: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Allocate ``steps`` time steps in the memory order of ``channel_major(x)``."""
    if not x.is_contiguous() and is_channels_last(x):
        return empty_channels_last(x, steps, x.shape[3:], dtype)
    return torch.empty((steps, *x.shape[1:]), dtype=dtype, device=x.device)


def empty_channels_last(
    x: Tensor, steps: int, sides: Sequence[int], dtype: torch.dtype
) -> Tensor:
    """Allocate ``steps`` steps of maps like ``x`` [T, N, C, ...] of other ``sides``."""
    shape = (steps, x.shape[1], *sides, x.shape[2])
    return torch.empty(shape, dtype=dtype, device=x.device).movedim(-1, 2)


def empty_pooled(x: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Allocate maps of half the sides of ``x`` [T, N, C, H, W], channels last."""
    return empty_channels_last(x, steps, [(n + 1) // 2 for n in x.shape[3:]], dtype)
