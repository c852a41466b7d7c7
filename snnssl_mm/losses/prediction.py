"""Predictions of slices by others, up to a stop-gradient: SimSiam, BYOL, next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snnssl_mm.losses.gather import average_over_processes
from snnssl_mm.losses.slices import SliceLoss, group, require_views, wide


class PredictionParts(NamedTuple):
    """The only term of a prediction loss."""

    distance: Tensor


class PredictionLoss(SliceLoss):
    """Base class of losses between predictions and targets without a gradient.

    The views are predictions h(z); the targets are the embeddings z themselves, as in
    SimSiam, or those of a teacher, as in BYOL; DualPathSSL passes both. Without targets
    the views are their own, which collapses: nothing but a predictor or a teacher keeps
    the embeddings of different images apart.

    Each sample has a term of its own: processes exchange the value only.
    """

    takes_targets = True
    needs_teacher = False
    min_samples = 1

    def parts(
        self, *views: Tensor, targets: Sequence[Tensor] | None = None
    ) -> PredictionParts:
        """Compute the loss as a named tuple of one term.

        Args:
            *views: Predictions, each ``[T, B, D]``.
            targets: As many tensors of the same shape; the views by default.

        Raises:
            ValueError: See :func:`snnssl_mm.losses.slices.require_views`; also if the
                targets have another number or shape, or are missing and needed.
        """
        if targets is None and self.needs_teacher:
            raise ValueError(
                f"{type(self).__name__} needs targets, a teacher's features of each "
                "view, got none"
            )
        targets = views if targets is None else tuple(targets)
        self.require(views)
        shapes = [[tuple(z.shape) for z in zs] for zs in (views, targets)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{type(self).__name__} expects a target for each view, got views "
                f"{shapes[0]} and targets {shapes[1]}"
            )
        with torch.autocast(views[0].device.type, enabled=False):
            goals = wide(*(z.detach() for z in targets))
            distance = self.compare(wide(*views), goals)
            return PredictionParts(average_over_processes(distance))

    def forward(
        self, *views: Tensor, targets: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Loss (a scalar) for predictions and targets, see :meth:`parts`."""
        return self.parts(*views, targets=targets).distance

    def compare(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Average the distance of ``[V, T, B, D]`` over pairs and samples."""
        return -self.mean_cosine(predictions, targets)

    def mean_cosine(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Average the cosine similarity of ``[V, T, B, D]`` over pairs and samples."""
        raise NotImplementedError


class NegativeCosineLoss(PredictionLoss):
    """Negative cosine similarity of predictions to targets of other slices.

    The mean over ordered pairs p != q of slices of -cos(h(z_p), z_q): SimSiam (Chen &
    He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv
    2011.10566), or with a teacher BYOL (Grill et al., "Bootstrap Your Own Latent",
    NeurIPS 2020, arXiv 2006.07733), whose squared distance is 2 - 2 cos. ``'flat'``
    equals ``'step'``.

    Cost: with a_p and b_q the unit vectors, ``sum_{p != q} a_p b_q = (sum a)(sum b) -
    sum_p a_p b_p`` per sample, linear in the number of time steps.

    Args:
        time: Slices that are compared, see :class:`~snnssl_mm.losses.SliceLoss`.
        within_view: Whether pairs of time steps inside one view count too.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> h = torch.nn.Linear(16, 16)
        >>> NegativeCosineLoss()(h(z_a), h(z_b), targets=(z_a, z_b)).shape
        torch.Size([])
    """

    def mean_cosine(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Average over all ordered pairs that count."""
        slices = (group(z, self.time) for z in (predictions, targets))
        a, b = (F.normalize(z, dim=-1) for z in slices)
        views_a, views_b = a.sum(2), b.sum(2)  # [G, V, B, D]
        total = (views_a.sum(1) * views_b.sum(1)).sum()
        excluded = (a * b) if self.within_view else views_a * views_b
        number = self.pairs(a).number * a.shape[0] * a.shape[3]
        return (total - excluded.sum()) / number


class NextStepLoss(PredictionLoss):
    """Negative cosine similarity of predictions to the next step of the other views.

    The mean over views v != w and steps s < t of -cos(h(z[v, s]), z[w, t]), with t = s
    + 1 (``'step'``, the default, and ``'flat'``), every later t (``'all'``), or the
    first and the last step (``'boundary'``): the past predicts the future, and not the
    reverse. The predictor h and the stop-gradient are SimSiam's, see
    :class:`NegativeCosineLoss`; the idea of predicting later representations is that of
    contrastive predictive coding (van den Oord et al., 2018, arXiv 1807.03748).

    Cost: the sum over later steps is accumulated, linear in the number of time steps.

    Args:
        time: Which later steps are predicted; not ``'mean'``.
        within_view: Whether a view's own later steps are predicted too.

    Example:
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> NextStepLoss()(z_a, z_b).shape
        torch.Size([])
    """

    def __init__(self, time: str = "step", within_view: bool = False) -> None:
        super().__init__(time, within_view)
        if time == "mean":
            raise ValueError("NextStepLoss needs time steps, got time='mean'")

    def require(self, views: tuple[Tensor, ...]) -> None:
        """Refuse views of a single time step."""
        require_views(type(self).__name__, views, 2, "NegativeCosineLoss")

    def mean_cosine(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Average over the pairs of an earlier and a later step."""
        views, steps, samples, _ = predictions.shape
        predictions, targets = (F.normalize(z, dim=-1) for z in (predictions, targets))
        match self.time:
            case "all":
                earlier, later = predictions[:, :-1], targets[:, 1:].clone()
                for t in reversed(range(steps - 2)):
                    later[:, t] += later[:, t + 1]
                pairs = steps * (steps - 1) // 2
            case "boundary":
                earlier, later, pairs = predictions[:, :1], targets[:, -1:], 1
            case _:
                earlier, later, pairs = predictions[:, :-1], targets[:, 1:], steps - 1
        total = (earlier.sum(0) * later.sum(0)).sum()
        if not self.within_view:
            total = total - (earlier * later).sum()
        partners = views if self.within_view else views - 1
        return total / (views * partners * pairs * samples)
