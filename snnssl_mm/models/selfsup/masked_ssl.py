"""Masked autoencoding with spiking backbones: hidden patches from visible ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnssl_mm.models.heads import embedding_std
from snnssl_mm.models.masking import VisiblePatches, only_visible
from snnssl_mm.models.selfsup.spiking_ssl import SpikingSSL
from snnssl_mm.registry import MODELS

READOUTS = ("mean", "last", "none")


@MODELS.register_module()
class MaskedSSL(SpikingSSL):
    """Masked autoencoder of images: the network sees some patches, and draws the rest.

    Each image hides a share of its patches, drawn at random. The backbone computes on
    the visible positions (:mod:`snnssl_mm.models.masking`); a light decoder without
    spikes, which is not part of the result, predicts the pixels of all patches from its
    last map, and the loss compares the hidden ones. He et al., "Masked Autoencoders Are
    Scalable Vision Learners", CVPR 2022, arXiv 2111.06377; with convolutions as in
    SparK (Tian et al., ICLR 2023, arXiv 2301.03580), which Yao et al., TPAMI 2025,
    arXiv 2411.16061, use for spiking networks of integer neurons. A patch is one
    position of the last map.

    A batch may have several views, each another image. Masks come from torch's global
    generator, which EpochSeedHook or IterationSeedHook seeds, so that a resumed
    training draws the same.

    Args:
        backbone: Config of a spiking backbone with one map; its time readout is set to
            ``'none'``.
        neck: Config of the decoder, such as MaskedPatchDecoder; ``out_channels`` is
            set.
        head: Config of the head, MaskedPatchHead or mmpretrain's MAEPretrainHead, which
            takes square images only; ``patch_size`` and ``in_channels`` are set.
        mask_ratio: Share of hidden patches; ``round(mask_ratio * L)`` of L are, at
            least one, and one is visible.
        time_readout: What the decoder gets: ``'mean'``, the map averaged over time;
            ``'last'``, that of the last time step; ``'none'``, each step's by itself.
            Of clips the target is the mean of the frames, or with ``'none'`` each
            step's own frame.
        train_path: Path of the neurons in training mode: ``'spike'``, ``'analog'``, or
            ``'dual'``, half of the images each, which ``bn='per_view'`` of the backbone
            normalises apart. PathScheduleHook changes it.
        train_time_steps: See :class:`SpikingSSL`.
        data_preprocessor: Config; a TwoViewDataPreprocessor by default.
        init_cfg: Initialisation, see mmengine.

    Attributes:
        patch_size: Side of a patch, in pixels: the backbone's stride.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        mask_ratio: float = 0.5,
        time_readout: str = "mean",
        train_path: str = "spike",
        train_time_steps: int | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        if not 0 < mask_ratio < 1:
            raise ValueError(
                f"mask_ratio must be above 0 and below 1, got {mask_ratio}"
            )
        if time_readout not in READOUTS:
            raise ValueError(
                f"time_readout must be one of {READOUTS}, got {time_readout!r}"
            )
        super().__init__(
            backbone,
            train_path=train_path,
            train_time_steps=train_time_steps,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if len(self.backbone.out_indices) != 1:
            raise ValueError(
                "MaskedSSL decodes one map, got a backbone with out_indices="
                f"{self.backbone.out_indices}; choose one"
            )
        self.mask_ratio = mask_ratio
        self.time_readout = time_readout
        self.patch_size: int = self.backbone.stride
        channels = self.backbone.in_channels
        pixels = channels * self.patch_size**2
        self.neck = MODELS.build({**neck, "out_channels": pixels})
        patches = dict(patch_size=self.patch_size, in_channels=channels)
        self.head = MODELS.build({**head, **patches})
        self.train(self.training)

    def draw_patches(self, images: Tensor) -> VisiblePatches:
        """Draw the visible patches of images ``[..., N, C, H, W]``.

        Raises:
            ValueError: If the sides are no multiples of ``patch_size``, or there are
                fewer than two patches.
        """
        samples, _, *sides = images.shape[-4:]
        rows, columns = (side // self.patch_size for side in sides)
        number = rows * columns
        if any(side % self.patch_size for side in sides) or number < 2:
            raise ValueError(
                "MaskedSSL needs at least two patches an image, and sides that are "
                f"multiples of {self.patch_size}, got {sides[0]}x{sides[1]}; resize, "
                "or choose another map by out_indices"
            )
        hidden = min(max(round(self.mask_ratio * number), 1), number - 1)
        order = torch.rand(samples, number, device=images.device).argsort(1)
        visible = torch.zeros_like(order, dtype=torch.bool)
        visible.scatter_(1, order[:, hidden:], True)
        return VisiblePatches(visible.view(samples, rows, columns), number - hidden)

    def encode(self, images: Tensor, patches: VisiblePatches) -> Tensor:
        """Compute the last map ``[T, N, C, h, w]`` of the visible patches."""
        with only_visible(patches):
            maps: Tensor = self.backbone(images)[-1]
        return maps

    def loss(
        self,
        inputs: Tensor | list[Tensor],
        data_samples: Any = None,
        patches: VisiblePatches | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """Compute the loss and a monitored value of a batch.

        Args:
            inputs: Preprocessed images ``[N, C, H, W]`` or clips ``[T, N, C, H, W]``,
                or a list of such views of one size.
            data_samples: Not used; there are no labels.
            patches: What the backbone sees; drawn by default.

        Returns:
            ``loss``, and ``embedding_std`` of each image's features, averaged over its
            visible patches: the decoder could draw the mean image without them.
        """
        views = inputs if isinstance(inputs, list) else [inputs]
        images = torch.cat([self.with_train_time_steps(view) for view in views], -4)
        patches = patches or self.draw_patches(images)
        maps = self.encode(images, patches)
        # Hidden positions are 0, and as many in each image.
        spread = embedding_std(maps.mean((-2, -1)))
        frames = images.unsqueeze(0) if images.dim() == 4 else images
        if self.time_readout == "none":
            frames = frames.expand(len(maps), *frames.shape[1:])
        else:
            mean = self.time_readout == "mean"
            maps = (maps.mean(0) if mean else maps[-1]).unsqueeze(0)
            frames = frames.mean(0, keepdim=True)
        visible = patches.visible.repeat(len(maps), 1, 1)
        predicted = self.neck(maps.flatten(0, 1), visible)
        hidden = (~visible).flatten(1).to(images.dtype)
        loss = self.head.loss(predicted, frames.flatten(0, 1), hidden)
        return {"loss": loss, "embedding_std": spread}
