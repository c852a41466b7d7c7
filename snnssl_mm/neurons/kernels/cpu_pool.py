"""Max-pooling of channels-last maps to half their size, on all of torch's threads.

``F.max_pool2d`` saves its input and 64-bit indices for the backward pass. The position
of the largest of the nine values in a window fits one byte, and nothing else is needed:
for maps of spikes, which no other layer saves, that is a tenth of the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnssl_mm.neurons.kernels.cpu import chunk_count
from snnssl_mm.neurons.kernels.cpu_kernels import Windows, pool_kernel, unpool_kernel


def _channels_last(x: Tensor) -> Tensor:
    return x.detach().float().contiguous(memory_format=torch.channels_last)


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
    arrays = [a.permute(0, 2, 3, 1).flatten(2).numpy() for a in (dense, out, window)]
    pool_kernel(*arrays, x.shape[1], chunk_count())
    return out.to(x.dtype), window


def pool_backward(grad: Tensor, window: Tensor, height: int, width: int) -> Tensor:
    """Gradient of the input ``[M, C, height, width]`` of :func:`pool_forward`."""
    grad_x = torch.empty(
        (*grad.shape[:2], height, width), memory_format=torch.channels_last
    )
    flat, places, flat_x = (
        a.permute(0, 2, 3, 1).flatten().numpy()
        for a in (_channels_last(grad), window, grad_x)
    )
    windows = Windows(places[None], height, width)
    unpool_kernel(flat, flat_x, grad.shape[1], chunk_count(), windows)
    return grad_x.to(grad.dtype)
