"""Feature pyramid from one map, for backbones with a single stride."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from snnssl_mm.registry import MODELS

SCALES = (4, 2, 1, 0.5)


def rescale(channels: int, scale: float, norm_cfg: dict[str, Any]) -> nn.Sequential:
    """Build layers that resize a map ``[N, C, H, W]`` by a factor of ``scale``.

    Up by transposed convolutions that halve the channels each, down by max-pooling.
    """
    if scale == 4:
        return nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 2, 2, stride=2),
            build_norm_layer(norm_cfg, channels // 2)[1],
            nn.GELU(),
            nn.ConvTranspose2d(channels // 2, channels // 4, 2, stride=2),
        )
    if scale == 2:
        return nn.Sequential(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
    return nn.Sequential(*([nn.MaxPool2d(2)] if scale == 0.5 else []))


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Pyramid of a plain backbone's last map, for detectors and segmentors.

    Each level is the same map, resized, then a 1x1 and a 3x3 convolution with norm.
    Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection",
    ECCV 2022, arXiv 2203.16527.

    Args:
        in_channels: Channels C of the map.
        out_channels: Channels D of every level.
        scales: Size of each level relative to the map: 4, 2, 1 or 0.5. From a map
            of stride 16 the default makes strides 4, 8, 16 and 32.
        num_outs: Number of levels; those beyond ``scales`` are every second pixel of
            the one before, as in mmdet's FPN. As many as scales by default.
        norm_cfg: Normalisation; LayerNorm over channels by default, which does not
            depend on the batch size.
        init_cfg: Initialisation, see mmengine.

    Shape:
        - Input: tuple of one map ``[N, C, H, W]``: a backbone with one out_index.
        - Output: tuple of ``[N, D, s H, s W]``.

    Example:
        >>> neck = SimpleFeaturePyramid(32, 8, num_outs=5)
        >>> [tuple(m.shape[-2:]) for m in neck((torch.rand(1, 32, 4, 8),))]
        [(16, 32), (8, 16), (4, 8), (2, 4), (1, 2)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scales: Sequence[float] = SCALES,
        num_outs: int | None = None,
        norm_cfg: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if not scales or not set(scales) <= set(SCALES):
            raise ValueError(f"scales must be among {SCALES}, got {tuple(scales)}")
        if in_channels % 4:
            raise ValueError(f"in_channels must be a multiple of 4, got {in_channels}")
        num_outs = len(scales) if num_outs is None else num_outs
        if num_outs < len(scales):
            raise ValueError(
                f"num_outs={num_outs} is less than the {len(scales)} scales "
                f"{tuple(scales)}; leave out scales instead"
            )
        norm = dict(norm_cfg or {"type": "mmpretrain.LN2d"})
        self.in_channels = in_channels
        self.num_extra = num_outs - len(scales)
        self.levels = nn.ModuleList()
        for scale in scales:
            channels = in_channels // max(int(scale), 1)
            options: dict[str, Any] = {"norm_cfg": norm, "act_cfg": None}
            self.levels.append(
                nn.Sequential(
                    rescale(in_channels, scale, norm),
                    ConvModule(channels, out_channels, 1, **options),
                    ConvModule(out_channels, out_channels, 3, padding=1, **options),
                )
            )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the levels, in the order of ``scales``."""
        if isinstance(inputs, Tensor) or len(inputs) != 1:
            got = "a tensor" if isinstance(inputs, Tensor) else f"{len(inputs)} maps"
            raise ValueError(
                f"SimpleFeaturePyramid expects a tuple of one map, got {got}; set "
                "out_indices=(2,) in the backbone"
            )
        (x,) = inputs
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"SimpleFeaturePyramid expects [N, {self.in_channels}, H, W], got "
                f"{tuple(x.shape)}; set in_channels to the backbone's channels"
                " (and its time_readout to 'mean')"
            )
        maps = [level(x) for level in self.levels]
        for _ in range(self.num_extra):
            maps.append(F.max_pool2d(maps[-1], 1, stride=2))
        return tuple(maps)
