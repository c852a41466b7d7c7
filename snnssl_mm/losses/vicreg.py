"""Variance, invariance and covariance of the slices: VICReg over time."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snnssl_mm.losses.slices import SliceLoss


class VICRegParts(NamedTuple):
    """The weighted terms of VICReg."""

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


class VICRegLoss(SliceLoss):
    r"""VICReg on the time steps of two or more views.

    Of ordered pairs p != q of slices, and of single slices p::

        loss = lambda mean_pq s(p, q) + mu mean_p v(p) + 2 nu mean_p c(p)

        s(p, q) = |p - q|^2 / (B D)
        v(p)    = sum_d max(0, 1 - sqrt(Var_d + eps)) / D
        c(p)    = sum_{i != j} Cov_ij^2 / D

    with unbiased variances and covariances over the batch. At T = 1 it is VICReg of two
    views (Bardes, Ponce & LeCun, "VICReg: Variance-Invariance-Covariance Regularization
    for Self-Supervised Learning", ICLR 2022, arXiv 2105.04906).

    Cost: variance and covariance are those of single slices, and all pairs of the
    invariance follow from deviations of means, see :func:`mean_squared_distance`; the
    whole is linear in the number of time steps.

    Args:
        invariance: Weight lambda.
        variance: Weight mu.
        covariance: Weight nu.
        eps: eps.
        **slices: ``time`` and ``within_view``, see
            :class:`~snnssl_mm.losses.SliceLoss`.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> VICRegLoss(time="step")(z_a, z_b).shape
        torch.Size([])
    """

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        eps: float = 1e-4,
        **slices: str | bool,
    ) -> None:
        super().__init__(**slices)  # type: ignore[arg-type]
        self.weights = (invariance, variance, covariance)
        self.eps = eps

    def terms(self, slices: Tensor) -> VICRegParts:
        """Compute the three weighted terms."""
        z = slices.flatten(0, 2)
        z = z - z.mean(1, keepdim=True)
        variances = z.square().sum(1) / (z.shape[1] - 1)  # [slices, D]
        variance = F.relu(1 - (variances + self.eps).sqrt()).mean()
        covariance = off_diagonal_squares(z, variances).mean() / z.shape[2]
        invariance = mean_squared_distance(slices, self.within_view)
        terms = (invariance, variance, 2 * covariance)
        return VICRegParts(
            *(w * term for w, term in zip(self.weights, terms, strict=True))
        )

    def extra_repr(self) -> str:
        """Show the settings."""
        names = zip(VICRegParts._fields, self.weights, strict=True)
        weights = ", ".join(f"{name}={weight}" for name, weight in names)
        return f"{weights}, eps={self.eps}, {super().extra_repr()}"


def mean_squared_distance(slices: Tensor, within_view: bool) -> Tensor:
    """Mean of (p - q)^2 over ordered pairs of slices, samples and dimensions.

    With m_v the mean of the t slices of view v, m the mean of all S = V t, and::

        W = sum_v sum_{p in v} |p - m_v|^2       M = sum_v |m_v - m|^2

    the sums over ordered pairs are, without forming a pair::

        all pairs            2 S W       + 2 S t M      of S (S - 1) pairs
        across views only    2 (S - t) W + 2 S t M      of S (S - t) pairs

    Args:
        slices: ``[G, V, t, B, D]``.
        within_view: Whether pairs inside a view count.
    """
    groups, views, steps, batch, dims = slices.shape
    number = views * steps
    of_view = slices.mean(2, keepdim=True)
    between = (of_view - of_view.mean(1, keepdim=True)).square().sum()
    total = 2 * number * steps * between
    if steps > 1:
        inside = (slices - of_view).square().sum()
        total = total + 2 * (number if within_view else number - steps) * inside
    pairs = number * (number - (1 if within_view else steps))
    return total / (groups * pairs * batch * dims)


def off_diagonal_squares(z: Tensor, variances: Tensor) -> Tensor:
    """Sum of squared covariances of different dimensions, of each slice, ``[S]``.

    ``|z^T z|^2 = |z z^T|^2``: the smaller of both matrices is computed.

    Args:
        z: Slices with mean 0 over the batch, ``[S, B, D]``.
        variances: Unbiased variances ``[S, D]``.
    """
    batch, dims = z.shape[1:]
    other = z.transpose(1, 2)
    products = torch.bmm(z, other) if batch < dims else torch.bmm(other, z)
    squares = products.square().sum((1, 2)) / (batch - 1) ** 2
    return squares - variances.square().sum(1)
