"""A differentiable gather of the batch over all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class GatherBatch(torch.autograd.Function):
    """Concatenate equal-sized tensors of all processes along one dimension.

    Every process computes the same loss on the result, so the gradient of that loss
    with respect to its own part is already at hand; times the number of processes,
    because DistributedDataParallel averages gradients where they must add up.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        """Gather and concatenate."""
        ctx.dim, ctx.size = dim, x.shape[dim]
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Take this process's part."""
        first = dist.get_rank() * ctx.size
        own = grads[0].narrow(ctx.dim, first, ctx.size)
        return own * dist.get_world_size(), None


def gather_batch(x: Tensor, dim: int) -> Tensor:
    """Return the batch of all processes; ``x`` itself in a single process."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return GatherBatch.apply(x, dim)
    return x
