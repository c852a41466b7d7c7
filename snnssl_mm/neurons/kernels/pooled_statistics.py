"""Statistics of a batch norm over the batch of all processes."""

from __future__ import annotations

import torch
from torch import Tensor

from snnssl_mm.processes import gather, sum_over_processes


def moments_of_all(
    mean: Tensor, var: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Pool the moments [G, C] of ``count`` values with those of all other processes.

    With n_p values of mean m_p and biased variance v_p in process p, and n = sum n_p::

        mean = sum n_p m_p / n,    var = sum n_p (v_p + (m_p - mean)^2) / n

    Processes may have different numbers of values, for images of different sizes.
    Nothing waits for the device.

    Returns:
        Mean and variance [G, C], float32, and the number n of values, a scalar.
    """
    own = torch.cat([mean.flatten(), var.flatten(), mean.new_full((1,), count)])
    rows = gather(own[None]).double()
    means, variances, counts = rows.split([mean.numel(), var.numel(), 1], dim=1)
    total = counts.sum()
    shares = counts / total
    pooled = (shares * means).sum(0)
    spread = variances + (means - pooled).square()
    pooled_var = (shares * spread).sum(0)
    return pooled.float().view_as(mean), pooled_var.float().view_as(var), total


def mean_over_processes(totals: Tensor, count: int) -> Tensor:
    """Divide the sums ``totals`` over all values of all processes by their number.

    Args:
        totals: Sums over ``count`` values of this process, float32.
        count: Likewise.
    """
    own = torch.cat([totals.flatten(), totals.new_full((1,), count)])
    sums = sum_over_processes(own)
    return (sums[:-1] / sums[-1]).view_as(totals)
