"""Distillation of a teacher's features into embeddings at each time step."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from snnssl_mm.losses.prediction import PredictionLoss
from snnssl_mm.losses.slices import group

DISTANCES = ("cosine", "smooth_l1")
TIMES = ("step", "mean")


class FeatureDistillationLoss(PredictionLoss):
    """Distance of each slice z[v, t] to the teacher's features y[v] of the same image.

    The mean over views, time steps (or of embeddings averaged over time) and samples of
    -cos(z, y), or of the smooth L1 distance to ``(y - mean) / std``, standardised over
    the D features of each sample: features of a teacher may have any scale (Wei et al.,
    "Contrastive Learning Rivals Masked Image Modeling in Fine-tuning via Feature
    Distillation", 2022, arXiv 2205.14141). No labels, and no pair of images: unlike the
    other losses it compares a view with itself only.

    Args:
        distance: ``'cosine'`` or ``'smooth_l1'``.
        time: ``'step'``: every time step's embedding matches; ``'mean'``: their mean.

    Example:
        >>> import torch
        >>> z_a, z_b = torch.randn(2, 4, 32, 16)  # T = 4, B = 32, D = 16
        >>> y_a, y_b = torch.randn(2, 1, 32, 16).expand(2, 4, 32, 16)
        >>> FeatureDistillationLoss()(z_a, z_b, targets=(y_a, y_b)).shape
        torch.Size([])
    """

    needs_teacher = True

    def __init__(self, distance: str = "cosine", time: str = "step") -> None:
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {DISTANCES}, got {distance!r}")
        if time not in TIMES:
            raise ValueError(f"time must be one of {TIMES}, got {time!r}")
        super().__init__(time)
        self.kind = distance

    def compare(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Average the distance of ``[V, T, B, D]`` over all slices and samples."""
        own, goals = (group(z, self.time) for z in (predictions, targets))
        if self.kind == "cosine":
            return -F.cosine_similarity(own, goals, dim=-1).mean()
        return F.smooth_l1_loss(own, F.layer_norm(goals, goals.shape[-1:]))
