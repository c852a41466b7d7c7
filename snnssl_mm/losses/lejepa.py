"""Agreement of the slices, each distributed as an isotropic Gaussian: LeJEPA."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from snnssl_mm.losses.slices import SliceLoss
from snnssl_mm.processes import from_first_process


class LeJEPAParts(NamedTuple):
    """The weighted terms of LeJEPA."""

    invariance: Tensor
    gaussianity: Tensor


class LeJEPALoss(SliceLoss):
    r"""LeJEPA on the time steps of two or more views: one weight, no other heuristics.

    Of the S slices p of a group, with mean m::

        loss = (1 - lambda) mean_p |p - m|^2 / (B D) + lambda mean_p SIGReg(p)

    SIGReg asks the projections x of a slice on random directions to be normally
    distributed, by the statistic of Epps and Pulley with a Gaussian window, which
    compares characteristic functions::

        SIGReg(p) = mean_x B int exp(-t^2 / 2) |mean_b exp(i t x_b) - exp(-t^2 / 2)|^2

    over t from -t_max to t_max, by the trapezoidal rule (Balestriero & LeCun, "LeJEPA:
    Provable and Scalable Self-Supervised Learning Without the Heuristics", 2025, arXiv
    2511.08544). At T = 1 it is LeJEPA of two views. There is no stop-gradient, teacher
    or predictor.

    Cost: linear in the number of time steps, since only single slices are tested.

    Args:
        lambd: Weight lambda, from 0 to 1.
        directions: Number of random directions, new in each call.
        knots: Points of the integration from 0 to ``t_max``.
        t_max: Bound of the integration.
        time: See :class:`~snnssl_mm.losses.SliceLoss`.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> LeJEPALoss(time="step")(z_a, z_b).shape
        torch.Size([])
    """

    def __init__(
        self,
        lambd: float = 0.05,
        directions: int = 1024,
        knots: int = 17,
        t_max: float = 3.0,
        time: str = "all",
    ) -> None:
        super().__init__(time)
        if not 0 <= lambd <= 1 or directions < 1 or knots < 2 or t_max <= 0:
            raise ValueError(
                "LeJEPALoss needs lambd from 0 to 1, directions >= 1, knots >= 2 and "
                f"t_max > 0, got {lambd=}, {directions=}, {knots=}, {t_max=}"
            )
        self.lambd = lambd
        self.directions = directions
        self.knots = knots
        self.t_max = t_max

    def terms(self, slices: Tensor) -> LeJEPAParts:
        """Compute both weighted terms."""
        centred = slices - slices.mean((1, 2), keepdim=True)
        axes = torch.randn(
            slices.shape[-1], self.directions, device=slices.device, dtype=slices.dtype
        )
        axes = from_first_process(axes)
        x = slices.flatten(0, 2) @ (axes / axes.norm(dim=0))  # [slices, B, directions]
        return LeJEPAParts(
            (1 - self.lambd) * centred.square().mean(),
            self.lambd * epps_pulley(x, self.knots, self.t_max).mean(),
        )

    def extra_repr(self) -> str:
        """Show the settings."""
        return (
            f"lambd={self.lambd}, directions={self.directions}, knots={self.knots}, "
            f"t_max={self.t_max}, time={self.time!r}"
        )


def epps_pulley(x: Tensor, knots: int = 17, t_max: float = 3.0) -> Tensor:
    """Compare samples with the standard normal distribution; 0 is equal.

    The integrand is even in t, so that only half of it is computed, and each knot's
    cosines and sines are computed again in the backward pass instead of kept.

    Args:
        x: Samples ``[..., B, M]`` of M variables.
        knots: Points of the integration from 0 to ``t_max``.
        t_max: Bound of the integration.

    Returns:
        ``[..., M]``.
    """
    statistic = torch.zeros_like(x[..., 0, :])
    step = t_max / (knots - 1)
    for knot in range(knots):
        t = knot * step
        error = checkpoint(
            squared_error, x, t, use_reentrant=False, preserve_rng_state=False
        )
        weight = step if knot in (0, knots - 1) else 2 * step  # both signs of t
        statistic = statistic + weight * gaussian(t) * error
    return statistic * x.shape[-2]


def squared_error(x: Tensor, t: float) -> Tensor:
    """Squared difference at t of the characteristic functions of x and a Gaussian."""
    angles = t * x
    real, imaginary = angles.cos().mean(-2), angles.sin().mean(-2)
    return (real - gaussian(t)).square() + imaginary.square()


def gaussian(t: float) -> float:
    """Characteristic function of the standard normal distribution, exp(-t^2 / 2)."""
    return math.exp(-t * t / 2)
