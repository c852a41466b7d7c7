r"""Temporal redundancy-reduction losses over the time steps of two views.

Every loss averages the Barlow Twins pair loss [Zbontar et al., arXiv 2103.03230]

    L(p, q) = sum_i (C_ii - 1)^2 + lambda sum_{i != j} C_ij^2,
    C(p, q) = bn(p)^T bn(q) / B,

over pairs of slices; a slice z[view, t] is a [B, D] batch of embeddings, bn
normalises it over the batch. The losses differ in the pairs that count. Names from
arXiv 2511.18542; the forms are a reconstruction from its public reviews.

Cost: S Gram matrices of the slices (S B^2 D operations) replace S (S - 1) / 2
correlation matrices (B D^2 each): linear instead of quadratic in the number of time
steps. The cheaper of the two forms is chosen by shape, see pairs.py.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snnssl_mm.losses.gather import gather_batch, require_equal_shapes
from snnssl_mm.losses.pairs import Pairs, sum_over_pairs


class LossParts(NamedTuple):
    """The two terms of a loss, the off-diagonal one weighted with lambda or not."""

    on_diagonal: Tensor
    off_diagonal: Tensor

    def weighted(self, lambd: float) -> LossParts:
        """Weight the off-diagonal part, so that the parts add up to the loss."""
        return LossParts(self.on_diagonal, lambd * self.off_diagonal)

    def total(self) -> Tensor:
        """Sum of the parts: the loss, if they are weighted."""
        return self.on_diagonal + self.off_diagonal


class TemporalLoss(nn.Module):
    """Base class of the losses: input checks, precision, gathering, normalisation.

    The computation runs in float32 (float64 stays), outside autocast, on the gathered
    batch of all processes; each process gets the gradient of that loss.

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
        """Choose the slices of a view ``z`` [T, B, D] that take part."""
        return z

    def paper_divisor(self, steps: int) -> int:
        """Divisor of ``normalize='paper'`` for slices of ``steps`` time steps."""
        return steps

    def parts(self, z_a: Tensor, z_b: Tensor) -> LossParts:
        """On- and off-diagonal part for ``z_a``, ``z_b`` [T, B, D].

        Raises:
            ValueError: If the shapes differ, also between processes (then in all of
                them), or there are too few steps or samples.
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
        require_equal_shapes(z_a)
        with torch.autocast(z_a.device.type, enabled=False):
            wide = torch.promote_types(z_a.dtype, torch.float32)
            z_a, z_b = (
                gather_batch(self.select(z).to(wide), dim=1) for z in (z_a, z_b)
            )
            steps, batch, _ = z_a.shape
            if batch < 2:
                raise ValueError(
                    f"{type(self).__name__} normalises over the batch and needs at "
                    f"least 2 samples, got B={batch}; use a larger batch size"
                )
            pairs = Pairs(steps, self.within_view)
            mean = self.normalize == "mean"
            divisor = pairs.number if mean else self.paper_divisor(steps)
            sums = sum_over_pairs(z_a, z_b, pairs)
            return LossParts(*(part / divisor for part in sums))

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """Loss (a scalar) for the projections ``z_a``, ``z_b`` [T, B, D]."""
        return self.parts(z_a, z_b).weighted(self.lambd).total()

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
        return z[[0, -1]]


class TimeFlattenedLoss(TemporalLoss):
    """Barlow Twins L(A, B) on the T B samples of a view as one batch: not temporal."""

    def __init__(self, lambd: float = 5e-3) -> None:
        super().__init__(lambd)

    def select(self, z: Tensor) -> Tensor:
        """Flatten all time steps into one slice."""
        return z.flatten(0, 1).unsqueeze(0)
