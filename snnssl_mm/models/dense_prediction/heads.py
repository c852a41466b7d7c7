"""Stock heads of mmdet and mmseg whose layers fire.

Each class is a subclass of the stock one. It inserts neurons into the layers that the
stock class has built, folds the time axis into the batch, runs the stock ``forward``,
and averages over time what that returns; losses and predictions are the stock class's.
Another head becomes spiking in the same way, with its own ``places``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mmdet.models as mmdet_models
import mmseg.models as mmseg_models
import torch
from mmengine.model import BaseModule
from torch import Tensor

from snnssl_mm.models.dense_prediction.firing import (
    NORM,
    LevelNorms,
    Places,
    new_norm_neuron,
)
from snnssl_mm.models.dense_prediction.spiking_module import SpikingModule
from snnssl_mm.models.dense_prediction.time_axis import (
    fold_time,
    mean_over_time,
    samples_first,
)
from snnssl_mm.models.layers import NeuronConfig
from snnssl_mm.registry import MODELS


class SpikingHead(SpikingModule):
    """Base class of spiking heads; it stands in front of the stock class.

    Args:
        *args: Arguments of the stock class.
        neuron: Options of the neurons, MixedLIF by default.
        norm: Config of the norm in front of a neuron where the stock layer has none;
            None for none. Batch norm by default.
        norm_eval: Whether norms keep the statistics of a checkpoint while training.
        with_cp: Whether activations are recomputed in the backward pass instead of
            being stored (gradient checkpointing).
        **kwargs: Arguments of the stock class.

    Attributes:
        places: Where neurons are put besides those in place of activations.
        levels: Number of levels of the pyramid that share the layers.
    """

    places = Places()
    levels = 1

    def __init__(
        self,
        *args: Any,
        neuron: NeuronConfig | None = None,
        norm: Mapping[str, Any] | None = NORM,
        norm_eval: bool = False,
        with_cp: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        options = (neuron, norm, norm_eval, with_cp, self.places, self.levels)
        self.make_spiking(self, *options)


class SpikingMapHead(SpikingHead):
    """Base class of spiking heads on maps ``[T, N, C, H, W]``."""

    def forward(self, maps: Sequence[Tensor]) -> Any:
        """Return the stock head's outputs, averaged over time."""
        folded, time_steps = fold_time(self, maps)
        outputs = self.run(self, folded, function=self.stock_forward)
        return mean_over_time(outputs, time_steps)

    def stock_forward(self, maps: Sequence[Tensor]) -> Any:
        """Return the stock head's outputs for maps ``[T N, C, H, W]``."""
        return super().forward(maps)


class SpikingDenseHead(SpikingMapHead):
    """Base class of spiking heads that run on one level of the pyramid at a time.

    Where the stock layers have no norms, each level has its own, as in
    RetinaSepBNHead: batch statistics hide how active a level is, which the bias of a
    norm of its own can say again.
    """

    @property
    def levels(self) -> int:  # type: ignore[override]
        """Number of levels of the pyramid."""
        return int(self.prior_generator.num_levels)

    def stock_forward(self, maps: Sequence[Tensor]) -> Any:
        """Return the stock head's outputs, beginning at the first level."""
        self.next_level = 0
        return super().stock_forward(maps)

    def forward_single(self, x: Tensor, *args: Any) -> Any:
        """Return the stock head's outputs for the next level, with its norms."""
        for module in self.modules():
            if isinstance(module, LevelNorms):
                module.level = self.next_level
        self.next_level += 1
        return super().forward_single(x, *args)


class SpikingRegionHead(SpikingHead):
    """Base class of spiking heads on features of K RoIs, ``[K, T, C, h, w]``.

    The RoIs come first, because stock code selects some of them by their index.
    """

    def forward(self, features: Tensor) -> Any:
        """Return the stock head's outputs, averaged over time."""
        if features.dim() != 5:
            raise ValueError(
                f"{type(self).__name__} expects features of RoIs [K, T, C, h, w], got "
                f"{tuple(features.shape)}; set the type of the RoI extractor to "
                "snnssl_mm.SpikingSingleRoIExtractor"
            )
        folded, time_steps = fold_time(self, [features.transpose(0, 1)])
        outputs = self.run(self, *folded, function=super().forward)
        return mean_over_time(outputs, time_steps)


@MODELS.register_module()
class SpikingRPNHead(SpikingDenseHead, mmdet_models.RPNHead):
    """mmdet's ``RPNHead`` with spiking layers; see :class:`SpikingHead`."""

    places = Places(after=["rpn_conv"])


@MODELS.register_module()
class SpikingRetinaHead(SpikingDenseHead, mmdet_models.RetinaHead):
    """mmdet's ``RetinaHead`` with spiking layers; see :class:`SpikingHead`."""


@MODELS.register_module()
class SpikingRetinaSepBNHead(SpikingMapHead, mmdet_models.RetinaSepBNHead):
    """mmdet's ``RetinaSepBNHead``, a norm for each level; see :class:`SpikingHead`."""


@MODELS.register_module()
class SpikingFCOSHead(SpikingDenseHead, mmdet_models.FCOSHead):
    """mmdet's ``FCOSHead`` with spiking layers; see :class:`SpikingHead`."""


@MODELS.register_module()
class SpikingATSSHead(SpikingDenseHead, mmdet_models.ATSSHead):
    """mmdet's ``ATSSHead`` with spiking layers; see :class:`SpikingHead`."""


@MODELS.register_module()
class SpikingConvFCBBoxHead(SpikingRegionHead, mmdet_models.ConvFCBBoxHead):
    """mmdet's ``ConvFCBBoxHead`` with spiking layers; see :class:`SpikingHead`."""

    places = Places(after=["shared_fcs.*", "cls_fcs.*", "reg_fcs.*"])


@MODELS.register_module()
class SpikingShared2FCBBoxHead(SpikingRegionHead, mmdet_models.Shared2FCBBoxHead):
    """mmdet's ``Shared2FCBBoxHead`` with spiking layers; see :class:`SpikingHead`."""

    places = SpikingConvFCBBoxHead.places


@MODELS.register_module()
class SpikingFCNMaskHead(SpikingRegionHead, mmdet_models.FCNMaskHead):
    """mmdet's ``FCNMaskHead`` with spiking layers; see :class:`SpikingHead`."""

    places = Places(after=["upsample"])


@MODELS.register_module()
class SpikingFPNHead(SpikingMapHead, mmseg_models.FPNHead):
    """mmseg's ``FPNHead`` with spiking layers; see :class:`SpikingHead`."""


@MODELS.register_module()
class SpikingFCNHead(SpikingMapHead, mmseg_models.FCNHead):
    """mmseg's ``FCNHead`` with spiking layers; see :class:`SpikingHead`."""


@MODELS.register_module()
class SpikingUPerHead(SpikingMapHead, mmseg_models.UPerHead):
    """mmseg's ``UPerHead`` with spiking layers; see :class:`SpikingHead`.

    Neurons in front of some layers make spikes of the means of pooling and of bilinear
    interpolation.
    """

    places = Places(
        before=["psp_modules.*.1", "bottleneck", "fpn_convs.*", "fpn_bottleneck"]
    )


@MODELS.register_module()
class SpikingSingleRoIExtractor(SpikingModule, mmdet_models.SingleRoIExtractor):
    """mmdet's ``SingleRoIExtractor`` for every time step, and a neuron behind it.

    The neuron makes spikes of the bilinear means of RoIAlign.

    Args:
        *args: Arguments of the stock class.
        neuron: Options of the neuron, MixedLIF by default.
        norm: Config of the norm in front of it; None for none. Batch norm by default.
        norm_eval: Whether the norm keeps a checkpoint's statistics while training.
        **kwargs: Arguments of the stock class.

    Attributes:
        samples_first: Whether maps are ``[N, T, C, H, W]``; a spiking RoI head sets it.

    Shape:
        - Input: maps ``[T, N, C, H, W]`` and RoIs ``[K, 5]``.
        - Output: ``[K, T, C, h, w]``.
    """

    samples_first = False

    def __init__(
        self,
        *args: Any,
        neuron: NeuronConfig | None = None,
        norm: Mapping[str, Any] | None = NORM,
        norm_eval: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.norm_eval = norm_eval
        self.fire = new_norm_neuron(neuron or {}, norm, self.out_channels)

    def forward(
        self,
        maps: Sequence[Tensor],
        rois: Tensor,
        roi_scale_factor: float | None = None,
    ) -> Tensor:
        """Compute the features of the RoIs at every time step."""
        if self.samples_first:
            maps = [x.transpose(0, 1) for x in maps]
        folded, time_steps = fold_time(self, maps)
        first = torch.arange(time_steps, device=rois.device) * maps[0].shape[1]
        repeated = rois.repeat(time_steps, 1)
        repeated[:, 0] += first.repeat_interleave(len(rois))
        # mmcv's RoIAlign reads other layouts as if they were this one (mmcv#2203).
        folded = [x.contiguous() for x in folded]
        features = super().forward(folded, repeated, roi_scale_factor)
        spikes = self.fire(features).unflatten(0, (time_steps, len(rois)))
        return spikes.transpose(0, 1)


class SpikingRoIHead(BaseModule):
    """Base class of spiking RoI heads: stock code finds samples and RoIs first.

    Its extractors are SpikingSingleRoIExtractors, its box and mask heads spiking ones.

    Args:
        *args: Arguments of the stock class.
        **kwargs: Arguments of the stock class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for module in self.modules():
            if isinstance(module, SpikingSingleRoIExtractor):
                module.samples_first = True

    def loss(self, maps: Sequence[Tensor], *args: Any) -> Any:
        """Return the stock losses for maps ``[T, N, C, H, W]``."""
        return super().loss(samples_first(self, maps), *args)

    def predict(self, maps: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        """Return the stock predictions for maps ``[T, N, C, H, W]``."""
        return super().predict(samples_first(self, maps), *args, **kwargs)

    def forward(self, maps: Sequence[Tensor], *args: Any) -> Any:
        """Return the stock raw outputs for maps ``[T, N, C, H, W]``."""
        return super().forward(samples_first(self, maps), *args)


@MODELS.register_module()
class SpikingStandardRoIHead(SpikingRoIHead, mmdet_models.StandardRoIHead):
    """mmdet's ``StandardRoIHead`` for maps with a time axis."""


@MODELS.register_module()
class SpikingCascadeRoIHead(SpikingRoIHead, mmdet_models.CascadeRoIHead):
    """mmdet's ``CascadeRoIHead`` for maps with a time axis."""
