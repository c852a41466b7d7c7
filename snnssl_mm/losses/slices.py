"""Slices of the views, in the groups that an objective compares.

A slice z[view, t] is a [B, D] batch of embeddings. ``time`` says which slices form a
group; an objective averages over the groups, and in a group over the ordered pairs of
slices p != q:

=============  ==================================================================
``'all'``      one group of all V T slices, as in CrossTemporalLoss
``'boundary'`` one group of the first and last step's slices, as in
               BoundaryTemporalLoss
``'flat'``     one group of V slices of T B samples: not temporal
``'step'``     T groups of V slices, one for each time step
``'mean'``     one group of V slices, embeddings averaged over time: not temporal
=============  ==================================================================
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.losses.gather import gather_batch, require_equal_shapes
from snnssl_mm.losses.pairs import Pairs
from snnssl_mm.processes import process_count

TIMES = ("all", "boundary", "flat", "step", "mean")


def require_views(
    name: str, views: tuple[Tensor, ...], steps: int = 1, instead: str = "time='flat'"
) -> None:
    """Refuse what is not two or more views ``[T, B, D]`` of equal shape.

    Args:
        name: Name of the loss, for the message.
        views: The embeddings.
        steps: Least number of time steps.
        instead: What to use for fewer.

    Raises:
        ValueError: In every process, also if shapes differ between processes.
    """
    shapes = [tuple(view.shape) for view in views]
    if len(views) < 2 or len(shapes[0]) != 3 or len(set(shapes)) > 1:
        raise ValueError(
            f"{name} expects two or more views of equal shape [T, B, D], got "
            f"{', '.join(map(str, shapes)) or 'none'}"
        )
    if shapes[0][0] < steps:
        raise ValueError(
            f"{name} needs at least {steps} time steps, got T={shapes[0][0]}; use "
            f"{instead}"
        )
    require_equal_shapes(views[0])


def group(views: Tensor, time: str) -> Tensor:
    """Arrange views in groups of slices.

    Args:
        views: ``[V, T, B, D]``.
        time: A key of the table above.

    Returns:
        ``[G, V, t, B', D]``: of each of G groups, t slices of each view.
    """
    match time:
        case "all":
            return views[None]
        case "boundary":
            return views[None, :, [0, -1]]
        case "flat":
            return views.flatten(1, 2)[None, :, None]
        case "step":
            return views.transpose(0, 1)[:, :, None]
        case "mean":
            return views.mean(1)[None, :, None]
    raise ValueError(f"time must be one of {', '.join(TIMES)}, got {time!r}")


class SliceLoss(nn.Module):
    """Base class of objectives on groups of slices: checks, precision, gathering.

    The computation runs in float32 (float64 stays), outside autocast. The value is that
    of the concatenated batch of all processes, and so is the gradient after
    DistributedDataParallel has averaged it.

    Args:
        time: Slices that are compared: ``'all'``, ``'boundary'``, ``'flat'``,
            ``'step'`` or ``'mean'``, see :mod:`snnssl_mm.losses.slices`.
        within_view: Whether pairs of time steps inside one view count too.
    """

    min_samples = 2

    def __init__(self, time: str = "all", within_view: bool = True) -> None:
        super().__init__()
        if time not in TIMES:
            raise ValueError(f"time must be one of {', '.join(TIMES)}, got {time!r}")
        self.time = time
        self.within_view = within_view

    def require(self, views: tuple[Tensor, ...]) -> None:
        """Refuse views that the loss is not defined for.

        Raises:
            ValueError: See :func:`require_views`; or if there are too few samples.
        """
        name = type(self).__name__
        require_views(name, views, 2 if self.time == "boundary" else 1)
        batch = views[0].shape[1] * process_count()
        if batch < self.min_samples:
            raise ValueError(
                f"{name} compares samples and needs at least {self.min_samples}, got "
                f"B={batch}; use a larger batch size"
            )

    def parts(self, *views: Tensor) -> Any:
        """Compute the weighted terms, which add up to the loss, as a named tuple.

        Args:
            *views: Two or more views, each ``[T, B, D]``.

        Raises:
            ValueError: See :meth:`require`.
        """
        self.require(views)
        with torch.autocast(views[0].device.type, enabled=False):
            return self.terms(group(wide(*map(gather_batch, views)), self.time))

    def terms(self, slices: Tensor) -> Any:
        """Compute the weighted terms for groups of slices ``[G, V, t, B, D]``."""
        raise NotImplementedError

    def pairs(self, slices: Tensor) -> Pairs:
        """Return the ordered pairs that count in each group of ``slices``."""
        return Pairs(slices.shape[2], self.within_view, slices.shape[1])

    def forward(self, *views: Tensor) -> Tensor:
        """Loss (a scalar) for the projections of two or more views, each [T, B, D]."""
        loss: Tensor = sum(self.parts(*views))
        return loss

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"time={self.time!r}, within_view={self.within_view}"


def wide(*views: Tensor) -> Tensor:
    """Stack views to ``[V, T, B, D]`` in float32, or float64 if they have it."""
    return torch.stack(views).to(torch.promote_types(views[0].dtype, torch.float32))
