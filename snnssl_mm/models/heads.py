"""The head of the self-supervised algorithm: a temporal loss and its health."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from snnssl_mm.registry import MODELS
from snnssl_mm.representation import std_per_dimension


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
        on_diagonal, off_diagonal = self.loss_module.parts(z_a, z_b)
        off_diagonal = self.loss_module.lambd * off_diagonal
        return {
            "loss": on_diagonal + off_diagonal,
            "on_diagonal": on_diagonal.detach(),
            "off_diagonal": off_diagonal.detach(),
            "embedding_std": embedding_std(z_a),
        }
