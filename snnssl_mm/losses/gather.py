"""Differentiable all-gather of the batch over all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class GatherBatch(torch.autograd.Function):
    """All-gather of equal-sized tensors, concatenated along one dimension.

    Every process computes the same loss on the result, so the gradient with respect to
    its own part needs no communication. It is multiplied by the world size, because
    DistributedDataParallel averages gradients over processes and they must be summed.
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
        """Take this rank's part, times the world size."""
        first = dist.get_rank() * ctx.size
        own = grads[0].narrow(ctx.dim, first, ctx.size)
        return own * dist.get_world_size(), None


def several_processes() -> bool:
    """Whether the process group has more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def require_equal_shapes(z: Tensor) -> None:
    """Refuse embeddings ``z`` [T, B, D] whose shape differs between processes.

    Gathering unequal shapes hangs or corrupts data, depending on the backend.

    Raises:
        ValueError: In every process; names the shape in each.
    """
    if not several_processes():
        return
    own = torch.tensor(z.shape, device=z.device)
    shapes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, own)
    found = [tuple(shape) for shape in torch.stack(shapes).tolist()]
    if len(set(found)) > 1:
        listed = ", ".join(f"{shape} in process {i}" for i, shape in enumerate(found))
        raise ValueError(
            "the loss is computed on the batch of all processes and expects embeddings "
            f"[T, B, D] of the same shape in each, got {listed}; use a sampler that "
            "gives every process the same number of samples (DefaultSampler with "
            "round_up=True) and train_dataloader.drop_last=True"
        )


def gather_batch(x: Tensor, dim: int) -> Tensor:
    """Gather the batch of all processes; return ``x`` itself in a single process.

    Args:
        x: Tensor with the same shape in every process, see
            :func:`require_equal_shapes`.
        dim: Dimension to concatenate along.
    """
    return GatherBatch.apply(x, dim) if several_processes() else x
