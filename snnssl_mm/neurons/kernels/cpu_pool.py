"""Max-pooling of channels-last maps to half their size, on all of torch's threads.

``F.max_pool2d`` saves its input and 64-bit indices for the backward pass. The position
of the largest of the nine values in a window fits one byte, and nothing else is needed:
for maps of spikes, which no other layer saves, that is a tenth of the memory.

Window (oh, ow) covers rows 2 oh - 1 to 2 oh + 1 and columns 2 ow - 1 to 2 ow + 1; the
position of (h, w) in it is 3 (h - 2 oh + 1) + (w - 2 ow + 1), from 0 to 8.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from snnssl_mm.neurons.kernels.cpu import chunk_count
from snnssl_mm.neurons.kernels.cpu_kernels import ZERO, jit, parallel


@jit
def take_larger(values, offset, best, window):  # type: ignore[no-untyped-def]
    """Keep the larger of ``best`` and ``values``; NaN counts as largest, as in torch.

    ``window`` gets the position of the larger one: ``offset`` for these values.
    """
    for i in range(values.size):
        larger = values[i] > best[i] or values[i] != values[i]
        best[i] = values[i] if larger else best[i]
        window[i] = offset if larger else window[i]


@jit
def take_larger_column(values, rows, column, best, window):  # type: ignore[no-untyped-def]
    """Merge a column of the windows; the first of equal values in row order counts."""
    for i in range(values.size):
        place = np.uint8(rows[i] + column)
        earlier = values[i] == best[i] and place < window[i]
        larger = values[i] > best[i] or values[i] != values[i] or earlier
        best[i] = values[i] if larger else best[i]
        window[i] = place if larger else window[i]


@jit
def add_where(window, place, grad, grad_x):  # type: ignore[no-untyped-def]
    """Add the gradient of a window to ``grad_x`` where its maximum was at ``place``."""
    for i in range(grad.size):
        grad_x[i] += grad[i] if window[i] == place else ZERO


@parallel()
def pool(x, out, window, chunks):  # type: ignore[no-untyped-def]
    """Pool ``x`` [M, H, W, C] into ``out`` and ``window`` of half the sides.

    Each row of windows takes the maximum over its three rows of ``x`` first, for all
    columns, and then over three columns of the result.
    """
    maps, height, width, channels = x.shape
    rows = maps * out.shape[1]
    for chunk in prange(chunks):
        best = np.empty((width, channels), np.float32)
        place = np.empty((width, channels), np.uint8)
        for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
            m, oh = row // out.shape[1], row % out.shape[1]
            top = max(2 * oh - 1, 0)
            best[:] = x[m, top]
            place[:] = np.uint8(3 * (top - 2 * oh + 1))
            for h in range(top + 1, min(2 * oh + 2, height)):
                offset = np.uint8(3 * (h - 2 * oh + 1))
                take_larger(x[m, h].ravel(), offset, best.ravel(), place.ravel())
            for ow in range(out.shape[2]):
                left = max(2 * ow - 1, 0)
                target, where = out[m, oh, ow], window[m, oh, ow]
                target[:] = best[left]
                where[:] = place[left] + np.uint8(left - 2 * ow + 1)
                for w in range(left + 1, min(2 * ow + 2, width)):
                    column = np.uint8(w - 2 * ow + 1)
                    take_larger_column(best[w], place[w], column, target, where)


@parallel()
def unpool(grad, window, grad_x, chunks):  # type: ignore[no-untyped-def]
    """Gradient ``grad_x`` of the input of :func:`pool` from that of its output."""
    maps, height, width, _ = grad_x.shape
    rows = maps * height
    for chunk in prange(chunks):
        for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
            m, h = row // height, row % height
            for w in range(width):
                target = grad_x[m, h, w]
                target[:] = ZERO
                # Even rows and columns lie in the middle of one window, odd ones on
                # the border of two.
                for oh in range(h // 2, min((h + 1) // 2 + 1, grad.shape[1])):
                    for ow in range(w // 2, min((w + 1) // 2 + 1, grad.shape[2])):
                        place = np.uint8(3 * (h - 2 * oh + 1) + w - 2 * ow + 1)
                        add_where(window[m, oh, ow], place, grad[m, oh, ow], target)


def _channels_last(x: Tensor) -> Tensor:
    return x.detach().float().contiguous(memory_format=torch.channels_last)


def _array(x: Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).numpy()


def pool_forward(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum over 3x3 windows of ``x`` [M, C, H, W], with stride 2 and padding 1.

    Returns:
        The maxima and their positions in the windows (uint8), both
        ``[M, C, ceil(H/2), ceil(W/2)]``, channels last.
    """
    dense = _channels_last(x)
    shape = (*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2)
    out = torch.empty(shape, memory_format=torch.channels_last)
    window = torch.empty_like(out, dtype=torch.uint8)
    pool(_array(dense), _array(out), _array(window), chunk_count())
    return out.to(x.dtype), window


def pool_backward(grad: Tensor, window: Tensor, height: int, width: int) -> Tensor:
    """Gradient of the input ``[M, C, height, width]`` of :func:`pool_forward`."""
    dense = _channels_last(grad)
    grad_x = torch.empty(
        (*grad.shape[:2], height, width), memory_format=torch.channels_last
    )
    unpool(_array(dense), _array(window), _array(grad_x), chunk_count())
    return grad_x.to(grad.dtype)
