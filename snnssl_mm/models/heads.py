"""Heads of the self-supervised algorithm and of the linear probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.models import LinearClsHead
from torch import Tensor, nn

from snnssl_mm.losses.representation import std_per_dimension
from snnssl_mm.models.layers import NeuronConfig, build_neuron
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
    """Loss over time steps, and values that show whether training is healthy.

    Args:
        loss: Config of a loss, such as CrossTemporalLoss or VICRegLoss.
        init_cfg: Initialisation, see mmengine.
    """

    def __init__(self, loss: dict[str, Any], init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(loss)

    def loss(
        self,
        *views: Tensor,
        predictions: Sequence[Tensor] | None = None,
        targets: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss and its parts for the projections of views, each [T, B, D].

        Args:
            *views: Projections, the spiking ones first.
            predictions: What the loss compares instead, with ``targets``, if it takes
                targets.
            targets: See there.

        Returns:
            ``loss`` (the only one with a gradient); its weighted parts, which add up to
            the loss, by their names (``on_diagonal`` and ``off_diagonal`` of CTL), if
            it has several; and ``embedding_std`` of the first view, the spiking one.
            Under DDP the loss and its parts use the global batch; ``embedding_std`` is
            per rank.
        """
        if targets is None:
            parts = self.loss_module.parts(*views)
        else:
            parts = self.loss_module.parts(*(predictions or views), targets=targets)
        named = parts._asdict() if len(parts) > 1 else {}
        return {
            "loss": sum(parts),
            **{name: part.detach() for name, part in named.items()},
            "embedding_std": embedding_std(views[0]),
        }


@MODELS.register_module()
class NormalizedLinearClsHead(LinearClsHead):
    """Linear classifier on features that are standardised per dimension.

    SGD needs the standardisation: the squared norm of one backbone's features is a
    hundred times that of another's. It is a batch norm without affine part, whose
    statistics are averaged over all of training, because the features of a frozen
    backbone do not change; equivalent to the offline probe's StandardScaler.

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


@MODELS.register_module()
class SpikingLinearClsHead(LinearClsHead):
    """Classifier of spiking transformers: mean over positions, neuron, linear layer.

    Its result is the mean over the time steps. The neuron gets the mean current of each
    channel, so the backbone must keep its time axis: ``time_readout='none'``.

    Args:
        num_classes: Number of classes.
        in_channels: Number of features.
        neuron: Options of the neuron, or None for no neuron: SDT-V1, V2 and MaxFormer
            have one like their others, SDT-V3 one with ``normalize=False``,
            Spikformer and Spikingformer have none.
        distilled: Whether there is a second linear layer, which was trained by
            distillation (``head_kd`` of SDT-V2); the result is the mean of both.
        **kwargs: See mmpretrain's ``LinearClsHead``.

    Shape:
        - Input: a tuple of maps ``[T, N, C, H, W]``, of which the last is used.
        - Output: ``[N, num_classes]``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        neuron: NeuronConfig | None = None,
        distilled: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.neuron = nn.Identity() if neuron is None else build_neuron(neuron)
        self.fc_kd = nn.Linear(in_channels, num_classes) if distilled else None

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the mean over time of the neuron's output, ``[N, C]``."""
        if feats[-1].dim() != 5:
            raise ValueError(
                "SpikingLinearClsHead expects maps [T, N, C, H, W], got "
                f"{tuple(feats[-1].shape)}; set time_readout='none' in the backbone"
            )
        rates: Tensor = self.neuron(feats[-1].mean((-2, -1))).mean(0)
        return rates

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits."""
        rates = self.pre_logits(feats)
        logits: Tensor = self.fc(rates)
        return logits if self.fc_kd is None else (logits + self.fc_kd(rates)) / 2
