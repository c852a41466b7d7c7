r"""Temporal redundancy-reduction losses over the time steps of two or more views.

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

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnssl_mm.losses.pairs import Pairs, sum_over_pairs
from snnssl_mm.losses.slices import require_views
from snnssl_mm.processes import process_count

GATHER_DTYPES = {None: None, "bfloat16": torch.bfloat16}


class LossParts(NamedTuple):
    """The two terms of a loss, the off-diagonal one weighted with lambda."""

    on_diagonal: Tensor
    off_diagonal: Tensor

    def total(self) -> Tensor:
        """Sum of the parts, the loss."""
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
        lambd_dims: Width D_0 of the embeddings for which ``lambd`` is meant. The
            weight is then lambda D_0 / D, so that lambda D, the balance of the D
            (D - 1) off-diagonal and the D diagonal terms, does not change with the
            width of the projector. None uses ``lambd`` for every width.
        gather_dtype: Type in which embeddings travel between processes: None for
            float32, or ``'bfloat16'``, half the bytes, for a loss and gradients that
            differ by less than a percent. In a single process it has no effect.
    """

    min_steps = 1

    def __init__(
        self,
        lambd: float = 5e-3,
        normalize: str = "mean",
        within_view: bool = True,
        lambd_dims: int | None = None,
        gather_dtype: str | None = None,
    ) -> None:
        super().__init__()
        if gather_dtype not in GATHER_DTYPES:
            raise ValueError(
                f"gather_dtype must be one of {list(GATHER_DTYPES)}, "
                f"got {gather_dtype!r}"
            )
        if lambd_dims is not None and lambd_dims < 1:
            raise ValueError(f"lambd_dims must be at least 1, got {lambd_dims}")
        if normalize not in ("mean", "paper"):
            raise ValueError(f"normalize must be 'mean' or 'paper', got {normalize!r}")
        if lambd < 0:
            raise ValueError(f"lambd must not be negative, got {lambd}")
        self.lambd = lambd
        self.normalize = normalize
        self.within_view = within_view
        self.lambd_dims = lambd_dims
        self.gather_dtype = gather_dtype

    def select(self, z: Tensor) -> Tensor:
        """Choose the slices of a view ``z`` [T, B, D] that take part."""
        return z

    def groups(self, z: Tensor) -> tuple[Tensor, ...]:
        """Divide the slices of a view into groups; pairs are within a group."""
        return (z,)

    def paper_divisor(self, steps: int) -> int:
        """Divisor of ``normalize='paper'`` for slices of ``steps`` time steps."""
        return steps

    def parts(self, *views: Tensor) -> LossParts:
        """On-diagonal and weighted off-diagonal part for ``views``, each [T, B, D].

        Raises:
            ValueError: If there are fewer than two views, their shapes differ, also
                between processes (then in all of them), or there are too few steps or
                samples.
        """
        name = type(self).__name__
        require_views(name, views, self.min_steps, "TimeFlattenedLoss")
        with torch.autocast(views[0].device.type, enabled=False):
            wide = torch.promote_types(views[0].dtype, torch.float32)
            slices = [self.select(z).to(wide) for z in views]
            steps, own, dims = slices[0].shape
            groups = list(zip(*map(self.groups, slices), strict=True))
            batch = own * process_count()
            if batch < 2:
                raise ValueError(
                    f"{name} normalises over the batch and needs at "
                    f"least 2 samples, got B={batch}; use a larger batch size"
                )
            pairs = Pairs(steps // len(groups), self.within_view, len(views))
            mean = self.normalize == "mean"
            number = len(groups) * pairs.number
            divisor = number if mean else self.paper_divisor(steps)
            dtype = GATHER_DTYPES[self.gather_dtype]
            sums = [sum_over_pairs(pairs, *group, dtype=dtype) for group in groups]
            on, off = torch.stack([torch.stack(pair) for pair in sums]).sum(0)
            return LossParts(on / divisor, self.weight(dims) * off / divisor)

    def weight(self, dims: int) -> float:
        """Weight of the off-diagonal part for embeddings of ``dims`` dimensions."""
        return self.lambd * (self.lambd_dims or dims) / dims

    def forward(self, *views: Tensor) -> Tensor:
        """Loss (a scalar) for the projections of two or more views, each [T, B, D]."""
        return self.parts(*views).total()

    def extra_repr(self) -> str:
        """Show the settings."""
        return (
            f"lambd={self.lambd}, normalize={self.normalize!r}, "
            f"within_view={self.within_view}, lambd_dims={self.lambd_dims}, "
            f"gather_dtype={self.gather_dtype!r}"
        )


class CrossTemporalLoss(TemporalLoss):
    """Cross Temporal Loss (CTL): all pairs among the V T slices of all V views.

    ``'paper'``: sum over ordered pairs / T, for two views 2 (2T - 1) times the mean.
    With T = 1 and ``'mean'`` it is plain Barlow Twins.

    Args:
        time: ``'all'`` pairs, or an option beyond the method, ``'step'``: only those of
            different views at the same time step, Barlow Twins of each step.
        **options: See :class:`TemporalLoss`.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> CrossTemporalLoss()(z_a, z_b).shape
        torch.Size([])
    """

    def __init__(self, *args: Any, time: str = "all", **options: Any) -> None:
        super().__init__(*args, **options)
        if time not in ("all", "step"):
            raise ValueError(
                f"CrossTemporalLoss takes time='all' or 'step', got {time!r}; "
                "BoundaryTemporalLoss and TimeFlattenedLoss are the others"
            )
        self.time = time

    def groups(self, z: Tensor) -> tuple[Tensor, ...]:
        """Group the slices: all, or those of each time step."""
        return (z,) if self.time == "all" else z.split(1)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"{super().extra_repr()}, time={self.time!r}"


class BoundaryTemporalLoss(TemporalLoss):
    """Boundary Temporal Loss (BTL): pairs among the first and last step's slices.

    ``'paper'``: sum over ordered pairs / 2, for two views 6 times the mean. Equals
    CTL at T = 2, and needs at least that.
    """

    min_steps = 2

    def select(self, z: Tensor) -> Tensor:
        """Take the first and the last time step."""
        return z[[0, -1]]


class TimeFlattenedLoss(TemporalLoss):
    """Barlow Twins L(A, B) on the T B samples of a view as one batch: not temporal."""

    def __init__(
        self,
        lambd: float = 5e-3,
        lambd_dims: int | None = None,
        gather_dtype: str | None = None,
    ) -> None:
        super().__init__(lambd, lambd_dims=lambd_dims, gather_dtype=gather_dtype)

    def select(self, z: Tensor) -> Tensor:
        """Flatten all time steps into one slice."""
        return z.flatten(0, 1).unsqueeze(0)
