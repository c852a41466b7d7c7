"""Heads: of the self-supervised algorithm, and of the linear probe of its features."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.models import LinearClsHead
from torch import Tensor, nn

from snnssl_mm.losses.representation import std_per_dimension
from snnssl_mm.registry import MODELS


@torch.no_grad()
def embedding_std(z: Tensor) -> Tensor:
    """Mean standard deviation per dimension of normalised embeddings, 0 to about 1.

    Averaged over time steps and dimensions; near 1 for embeddings that spread over the
    sphere, near 0 for collapsed ones.

    Args:
        z: Embeddings ``[T, B, D]``.
    """
    return std_per_dimension(z).mean()


@MODELS.register_module()
class TemporalLossHead(BaseModule):
    """Compute a temporal loss and what tells whether training is healthy.

    Args:
        loss: Config of CrossTemporalLoss, BoundaryTemporalLoss or TimeFlattenedLoss.
        init_cfg: Initialisation, see mmengine.
    """

    def __init__(self, loss: dict[str, Any], init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(loss)

    def loss(self, z_a: Tensor, z_b: Tensor) -> dict[str, Tensor]:
        """Loss and health for the projections ``z_a``, ``z_b`` [T, B, D].

        Returns:
            ``loss`` (the only one with a gradient), its ``on_diagonal`` part and
            ``off_diagonal`` part (weighted with lambda: they add up to the loss),
            ``embedding_std`` of the spiking view. Of several processes, all compute
            the same first three, from the batch of all, and each the last one from
            its own share.
        """
        parts = self.loss_module.parts(z_a, z_b).weighted(self.loss_module.lambd)
        return {
            "loss": parts.total(),
            "on_diagonal": parts.on_diagonal.detach(),
            "off_diagonal": parts.off_diagonal.detach(),
            "embedding_std": embedding_std(z_a),
        }


@MODELS.register_module()
class NormalizedLinearClsHead(LinearClsHead):
    """A linear classifier of features that are standardised per dimension.

    SGD needs it: the squared norm of the features of one backbone is a hundred times
    that of another. A batch norm without affine part, whose statistics are averaged
    over the whole training, because a frozen backbone's features stay as they are. It
    does what the offline probe's StandardScaler does.

    Args:
        num_classes: Number of classes.
        in_channels: Number of features.
        **kwargs: See mmpretrain's ``LinearClsHead``.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.norm = nn.BatchNorm1d(in_channels, affine=False, momentum=None)

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Standardise the features ``[B, C]`` of the last stage."""
        normalized: Tensor = self.norm(feats[-1])
        return normalized
