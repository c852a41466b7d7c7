"""The embeddings of all processes, gathered for a loss on the whole batch.

In a single process everything here returns its argument. All processes must call the
functions in the same order.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from snnssl_mm.processes import (
    gather,
    host_group,
    process_count,
    several_processes,
    sum_over_processes,
)


def gather_rows(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Gather ``x`` [S, B / W, d] of all processes to [S, B, d]; without a gradient.

    Args:
        x: Own rows, as many as every other process has.
        dtype: Type in which they travel, and in which they are returned if there are
            several processes; None for that of ``x``.
    """
    if not several_processes():
        return x
    own = x.to(dtype or x.dtype).transpose(0, 1).contiguous()  # one message, no copy
    return gather(own).transpose(0, 1)


class GatherBatch(torch.autograd.Function):
    """Differentiable all-gather of equal-sized ``x`` [S, B / W, ...] to [S, B, ...].

    Every process computes the same loss on the result, so the gradient with respect to
    its own part needs no communication. It is multiplied by the number of processes,
    because DistributedDataParallel averages gradients over them and they must be
    summed.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Gather."""
        ctx.size = x.shape[1]
        return gather_rows(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Take the part of this process, times their number."""
        own = grads[0].narrow(1, dist.get_rank() * ctx.size, ctx.size)
        return own * process_count()


def gather_batch(x: Tensor) -> Tensor:
    """Gather the batch of all processes; return ``x`` itself in a single process.

    Args:
        x: ``[S, B / W, ...]``, of the same shape in every process, see
            :func:`require_equal_shapes`.
    """
    return GatherBatch.apply(x) if several_processes() else x


def average_over_processes(x: Tensor) -> Tensor:
    """Average the value of ``x``, a mean over own samples, over the processes.

    The gradient stays that of the own ``x``: DistributedDataParallel averages it.
    """
    if not several_processes():
        return x
    own = x.detach()
    return x + (sum_over_processes(own.clone()) / process_count() - own)


def require_equal_shapes(z: Tensor) -> None:
    """Refuse embeddings ``z`` [T, B, D] whose shape differs between processes.

    Gathering unequal shapes hangs or corrupts data, depending on the backend. The
    shapes are exchanged on the host, so that no process waits for its GPU.

    Raises:
        ValueError: In every process; names the shape in each.
    """
    if not several_processes():
        return
    own = torch.tensor(z.shape)
    shapes = [torch.empty_like(own) for _ in range(process_count())]
    dist.all_gather(shapes, own, group=host_group())
    found = [tuple(shape) for shape in torch.stack(shapes).tolist()]
    if len(set(found)) > 1:
        listed = ", ".join(f"{shape} in process {i}" for i, shape in enumerate(found))
        raise ValueError(
            "the loss is computed on the batch of all processes and expects embeddings "
            f"[T, B, D] of the same shape in each, got {listed}; use a sampler that "
            "gives every process the same number of samples (DefaultSampler with "
            "round_up=True) and train_dataloader.drop_last=True"
        )
