"""Self-supervised learners: ours, and equal ones made of spikingjelly's layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmpretrain.registry import MODELS
from rivals.network import assembled, own_spikformer
from rivals.neuron import OUR_NEURON
from torch import Tensor, nn

from snnssl_mm.models import DualPathSSL


class Size(NamedTuple):
    """A training step: network, images (each in two views) and precision."""

    arch: Any
    stem: str
    pixels: int
    images: int
    device: str
    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    projector: int = 1024


class SpikingjellySSL(nn.Module):
    """A spikingjelly backbone with our projector and head.

    Both views go through the network in one batch, as in DualPathSSL.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = backbone, neck, head

    def project(self, images: Tensor) -> Tensor:
        """Compute embeddings ``[T, N, D]``."""
        (features,) = self.backbone(images)
        (z,) = self.neck((features.flatten(0, 1),))
        return z.unflatten(0, features.shape[:2])

    def loss(self, views: list[Tensor]) -> dict[str, Tensor]:
        """Compute the loss of two views ``[N, 3, H, W]``."""
        return self.head.loss(*self.project(torch.cat(views)).chunk(2, dim=1))


def dual_path_ssl(size: Size, train_path: str) -> DualPathSSL:
    """Build our learner with spikingjelly's neuron and the configs' projector."""
    torch.manual_seed(0)
    backbone = dict(
        type="snnssl_mm.Spikformer", arch=size.arch, stem=size.stem, neuron=OUR_NEURON
    )
    dims = MODELS.build(backbone).embed_dims
    model = MODELS.build(
        dict(
            type="snnssl_mm.DualPathSSL",
            backbone=backbone,
            neck=dict(
                type="NonLinearNeck",
                in_channels=dims,
                hid_channels=size.projector,
                out_channels=size.projector,
                num_layers=3,
                with_avg_pool=True,
                with_last_bn=False,
                norm_cfg=dict(type="BN1d"),
            ),
            head=dict(
                type="snnssl_mm.TemporalLossHead",
                loss=dict(type="snnssl_mm.CrossTemporalLoss", lambd=5e-3),
            ),
            train_path=train_path,
        )
    )
    return model.to(size.device, size.dtype).train()


def learner(kind: str, size: Size) -> nn.Module:
    """Build one of ours ``'spike'``, ``'dual'``, or spikingjelly's.

    Args:
        kind: ``'assembled'`` is spikingjelly's layers in our order with our weights,
            ``'own'`` is spikingjelly's Spikformer as it is.
        size: Of the step.
    """
    if kind in ("spike", "dual"):
        return dual_path_ssl(size, kind)
    ours = dual_path_ssl(size, "spike")
    if kind == "assembled":
        backbone = assembled(ours.backbone)
    else:
        backbone = own_spikformer(ours.backbone, size.pixels)
    model = SpikingjellySSL(backbone, ours.neck, ours.head)
    return model.to(size.device, size.dtype).train()


def random_views(size: Size) -> list[Tensor]:
    """Make two views of normalised images: the second is the first plus noise."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, size.images, 3, size.pixels, size.pixels)
    first, noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return [view.to(size.device, size.dtype) for view in (first, first + 0.3 * noise)]
