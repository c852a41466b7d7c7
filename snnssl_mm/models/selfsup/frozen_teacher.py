"""Frozen teacher of DualPathSSL: a trained network whose features are the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnssl_mm.checkpoints.given_weights import given_weights
from snnssl_mm.checkpoints.loading import load_backbone
from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.registry import MODELS

OWN_WEIGHTS = ("pretrained", "checkpoint_path")
"""Settings by which networks are built with weights, such as TIMMBackbone."""


class FrozenTeacher(nn.Module):
    """A network that is not trained, in eval mode, with its own view of the images.

    Its features are its last output, averaged over positions or tokens; of clips, it
    sees the mean of the frames. The weights are loaded at first use, so that probes of
    the student do not need them.

    Args:
        backbone: Config of any backbone: mmpretrain's, timm's
            (``mmpretrain.TIMMBackbone``), or one of this package with ReLUNeurons.
        checkpoint: File, URL, or name of the zoo, loaded strictly, whatever the prefix
            of its names; None if the backbone is built with weights, as timm's are by
            ``pretrained`` or ``checkpoint_path``.
        mean: Mean of each channel, for pixels of 0 to 255, by which the teacher's
            images were normalised; None for the student's normalised images.
        std: Standard deviation of each channel, likewise.
        flip_channels: Whether the teacher wants the channels in the other order (RGB
            or BGR) than the student.
        size: Side to which images are resized for it; None for that of the student.

    Raises:
        ValueError: If nothing names its weights, or an ``init_cfg`` does, which is not
            loaded strictly, or of ``mean`` and ``std`` only one is given.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        checkpoint: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        flip_channels: bool = False,
        size: int | None = None,
    ) -> None:
        super().__init__()
        if checkpoint is None and not any(backbone.get(key) for key in OWN_WEIGHTS):
            raise ValueError(
                "a frozen teacher needs trained weights; set its checkpoint, or one of "
                f"{OWN_WEIGHTS} in its backbone"
            )
        if (mean is None) != (std is None):
            raise ValueError(
                "a frozen teacher's images need both mean and std, or neither; got "
                f"mean={mean} and std={std}"
            )
        self.network: Any = MODELS.build(dict(backbone))
        if given := given_weights({}, self.network):
            raise ValueError(
                "a frozen teacher's weights must be loaded strictly, but an init_cfg, "
                "or pretrained= of stock backbones, takes what fits; remove it and set "
                f"frozen_teacher.checkpoint={given[0].path!r}"
            )
        self.checkpoint = checkpoint
        self.statistics = None if mean is None or std is None else (mean, std)
        self.flip_channels = flip_channels
        self.size = size
        self.loaded = False
        self.requires_grad_(False).eval()

    def load(self) -> None:
        """Load the weights; the random states stay."""
        with random_states_kept():
            if self.checkpoint is not None:
                load_backbone(self.network, self.checkpoint)
        self.requires_grad_(False).eval()
        self.loaded = True

    @torch.no_grad()
    def forward(self, images: Tensor, preprocessor: Any) -> Tensor:
        """Compute the features ``[N, D]``.

        Args:
            images: Of the student: normalised images ``[N, C, H, W]``, or clips
                ``[T, N, C, H, W]``.
            preprocessor: The data preprocessor that normalised them.

        Raises:
            ValueError: If the network's output has no known form.
        """
        if not self.loaded:
            self.load()
        images = images.mean(0) if images.dim() == 5 else images
        out = self.network(self.prepared(images, preprocessor))
        features: Tensor = out[-1] if isinstance(out, (tuple, list)) else out
        if features.dim() not in (2, 3, 4):
            raise ValueError(
                "a teacher's output must be [N, D], tokens [N, L, D] or maps "
                f"[N, D, H, W], got {tuple(features.shape)}"
            )
        if features.dim() > 2:
            features = features.mean((2, 3) if features.dim() == 4 else 1)
        return features

    def prepared(self, images: Tensor, preprocessor: Any) -> Tensor:
        """Return the student's ``images`` as the teacher knows them."""
        if self.statistics is not None:
            pixels = getattr(preprocessor, "pixels", preprocessor)  # of clips
            if getattr(pixels, "_enable_normalize", False):
                images = images * pixels.std + pixels.mean
        if self.flip_channels:
            images = images.flip(1)
        if self.statistics is not None:
            mean, std = (images.new_tensor(s).view(-1, 1, 1) for s in self.statistics)
            images = (images - mean) / std
        if self.size is None:
            return images
        sides = (self.size, self.size)
        return F.interpolate(images, sides, mode="bilinear", antialias=True)
