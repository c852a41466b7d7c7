r"""Temporal redundancy-reduction losses over the time steps of two views.

Every loss averages the Barlow Twins pair loss [Zbontar et al., arXiv 2103.03230]

    L(p, q) = sum_i (C_ii - 1)^2 + lambda sum_{i != j} C_ij^2,
    C(p, q) = bn(p)^T bn(q) / B,

over pairs of slices; a slice z[view, t] is a [B, D] batch of embeddings, bn
normalises it over the batch. Which pairs is what tells the losses apart. Names from
arXiv 2511.18542; the forms are a reconstruction from its public reviews.

Cost: with K_p = bn(p) bn(p)^T [B, B], the squared norms of all S (S - 1) correlation
matrices sum to ||sum_p K_p||^2 - sum_p ||K_p||^2 (over B^2), and their diagonals
need elementwise products only. So S Gram matrices (S B^2 D operations) replace
S (S - 1) / 2 correlation matrices (B D^2 each): linear instead of quadratic in the
number of time steps. The cheaper of the two forms is chosen by shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snnssl_mm.losses.gather import gather_batch

EPS = 1e-5


class LossParts(NamedTuple):
    """The two terms of a loss; ``loss = on_diagonal + lambd * off_diagonal``."""

    on_diagonal: Tensor
    off_diagonal: Tensor


def normalize_slices(z: Tensor) -> Tensor:
    """Normalise each slice of ``z`` [..., B, D] to mean 0 and variance 1 over B."""
    var, mean = torch.var_mean(z, dim=-2, correction=0, keepdim=True)
    return (z - mean) * torch.rsqrt(var + EPS)


def correlation_diagonals(z: Tensor) -> Tensor:
    """C_ii(p, q) of all slice pairs of ``z`` [S, B, D], as [D, S, S]."""
    by_dimension = z.permute(2, 0, 1).contiguous()  # strided, bmm falls to a loop
    return by_dimension @ by_dimension.transpose(1, 2) / z.shape[1]


def squared_norms_by_gram(z: Tensor, within_view: bool) -> Tensor:
    """Sum of ||C(p, q)||_F^2 over ordered pairs, from Gram matrices.

    Args:
        z: Normalised slices [S, B, D], first those of view A, then of view B.
        within_view: All pairs p != q, or only those between the views.
    """
    batch = z.shape[1]
    if within_view:
        grams = z @ z.transpose(1, 2)
        total = grams.sum(0).square().sum(dtype=torch.float64)
        total = total - grams.square().sum(dtype=torch.float64)
    else:
        # sum_p K_p of one view is one product of its slices laid side by side.
        side_by_side = z.unflatten(0, (2, -1)).transpose(1, 2).flatten(2)
        gram_a, gram_b = side_by_side @ side_by_side.transpose(1, 2)
        total = 2 * (gram_a * gram_b).sum(dtype=torch.float64)
    return (total / batch**2).to(z.dtype)


def squared_norms_by_correlation(z: Tensor, within_view: bool) -> Tensor:
    """The same sum from the correlation matrices themselves, a slice at a time."""
    slices, batch, _ = z.shape
    total = z.new_zeros((), dtype=torch.float64)
    for p in range(slices if within_view else slices // 2):
        first = p + 1 if within_view else slices // 2
        if first < slices:
            others = z[first:].transpose(0, 1).flatten(1)
            c = z[p].transpose(0, 1) @ others / batch
            total = total + 2 * c.square().sum(dtype=torch.float64)
    return total.to(z.dtype)


def sum_over_pairs(z: Tensor, within_view: bool) -> tuple[LossParts, int]:
    """Sum the pair loss's parts over ordered slice pairs p != q.

    Args:
        z: Slices [2, t, B, D] of views A and B, not normalised.
        within_view: Whether pairs inside one view count, or only those between
            the views.

    Returns:
        Both parts, summed, and the number of ordered pairs.
    """
    steps, batch, dims = z.shape[1:]
    slices = 2 * steps
    z = normalize_slices(z).flatten(0, 1)
    if within_view:
        pairs = slices * (slices - 1)
        pair_mask = ~torch.eye(slices, dtype=torch.bool, device=z.device)
    else:
        pairs = 2 * steps**2
        view = torch.arange(slices, device=z.device) // steps
        pair_mask = view[:, None] != view[None, :]
    diagonals = correlation_diagonals(z)[:, pair_mask]
    gram_cost, correlation_cost = slices * batch, pairs / 2 * dims
    gram = gram_cost < correlation_cost
    squared_norms = squared_norms_by_gram if gram else squared_norms_by_correlation
    off_diagonal = squared_norms(z, within_view) - diagonals.square().sum()
    return LossParts((diagonals - 1).square().sum(), off_diagonal), pairs


class TemporalLoss(nn.Module):
    """What the three losses share: checks, precision, gathering, normalisation.

    The computation runs in float32 (float64 stays), outside autocast, on the batch
    of all processes; each process gets the gradient of that whole-batch loss.

    Args:
        lambd: Weight lambda of the off-diagonal part.
        normalize: ``'mean'`` averages over the pairs, so that the learning rate fits
            all losses and numbers of time steps. ``'paper'`` divides the sum over
            ordered pairs by the reported constant (T for CTL, 2 for BTL).
        within_view: Whether pairs of time steps inside one view count too.
    """

    min_steps = 1

    def __init__(
        self, lambd: float = 5e-3, normalize: str = "mean", within_view: bool = True
    ) -> None:
        super().__init__()
        if normalize not in ("mean", "paper"):
            raise ValueError(f"normalize must be 'mean' or 'paper', got {normalize!r}")
        if lambd < 0:
            raise ValueError(f"lambd must not be negative, got {lambd}")
        self.lambd = lambd
        self.normalize = normalize
        self.within_view = within_view

    def select(self, z: Tensor) -> Tensor:
        """Choose the slices of ``z`` [2, T, B, D] that take part."""
        return z

    def paper_divisor(self, steps: int) -> int:
        """What ``normalize='paper'`` divides by, for slices of ``steps`` steps."""
        return steps

    def parts(self, z_a: Tensor, z_b: Tensor) -> LossParts:
        """On- and off-diagonal part for ``z_a``, ``z_b`` [T, B, D].

        Raises:
            ValueError: If the shapes differ or there are too few steps or samples.
        """
        if z_a.dim() != 3 or z_a.shape != z_b.shape:
            raise ValueError(
                f"{type(self).__name__} expects two equal shapes [T, B, D], "
                f"got {tuple(z_a.shape)} and {tuple(z_b.shape)}"
            )
        if z_a.shape[0] < self.min_steps:
            raise ValueError(
                f"{type(self).__name__} needs at least {self.min_steps} time steps, "
                f"got T={z_a.shape[0]}; use TimeFlattenedLoss"
            )
        with torch.autocast(z_a.device.type, enabled=False):
            z = torch.stack([z_a, z_b])
            z = gather_batch(z if z.dtype == torch.float64 else z.float(), dim=2)
            if z.shape[2] < 2:
                raise ValueError(
                    f"{type(self).__name__} normalises over the batch and needs at "
                    f"least 2 samples, got B={z.shape[2]}; use a larger batch size"
                )
            z = self.select(z)
            sums, pairs = sum_over_pairs(z, self.within_view)
            mean = self.normalize == "mean"
            divisor = pairs if mean else self.paper_divisor(z.shape[1])
            return LossParts(*(part / divisor for part in sums))

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """Loss (a scalar) for the projections ``z_a``, ``z_b`` [T, B, D]."""
        on_diagonal, off_diagonal = self.parts(z_a, z_b)
        return on_diagonal + self.lambd * off_diagonal

    def extra_repr(self) -> str:
        """Show the settings."""
        return (
            f"lambd={self.lambd}, normalize={self.normalize!r}, "
            f"within_view={self.within_view}"
        )


class CrossTemporalLoss(TemporalLoss):
    """Cross Temporal Loss (CTL): all pairs among the 2T slices of both views.

    ``'paper'``: sum over ordered pairs / T, which is 2 (2T - 1) times the mean.
    With T = 1 and ``'mean'`` it is plain Barlow Twins.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> CrossTemporalLoss()(z_a, z_b).shape
        torch.Size([])
    """


class BoundaryTemporalLoss(TemporalLoss):
    """Boundary Temporal Loss (BTL): pairs among the first and last step's slices.

    ``'paper'``: sum over ordered pairs / 2, which is 6 times the mean. Equals CTL
    at T = 2, and needs at least that.
    """

    min_steps = 2

    def select(self, z: Tensor) -> Tensor:
        """Take the first and the last time step."""
        return z[:, [0, -1]]


class TimeFlattenedLoss(TemporalLoss):
    """No temporal loss: the T B samples of a view form one batch, L(A, B)."""

    def __init__(self, lambd: float = 5e-3) -> None:
        super().__init__(lambd)

    def select(self, z: Tensor) -> Tensor:
        """Make one slice of all time steps."""
        return z.flatten(1, 2).unsqueeze(1)
