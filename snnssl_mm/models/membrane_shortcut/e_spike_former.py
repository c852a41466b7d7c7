"""E-SpikeFormer (SDT-V3, base): integers in training, spikes in inference.

Yao et al., "Scaling Spike-driven Transformer with Efficient Spike Firing Approximation
Training", TPAMI 2025, arXiv 2411.16061.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from snnssl_mm.models.layers import ConvNorm, NeuronConfig
from snnssl_mm.models.membrane_shortcut.attention import MembraneSelfAttention
from snnssl_mm.models.membrane_shortcut.base import chosen_arch
from snnssl_mm.models.membrane_shortcut.meta_spike_former import (
    DEPTHS,
    HEADS,
    LAST,
    StagedBackbone,
)
from snnssl_mm.models.membrane_shortcut.mixers import ChannelMixer, SeparableMixer
from snnssl_mm.registry import MODELS

E_ARCHS = {
    "T": dict(embed_dims=(24, 48, 96, 128)),
    "5M": dict(embed_dims=(32, 64, 128, 192)),
    "10M": dict(embed_dims=(48, 96, 192, 240)),
    "19M": dict(embed_dims=(64, 128, 256, 360)),
}
NEURON = "snnssl_mm.MixedILIF"


class WideValueAttention(MembraneSelfAttention):
    """Self-attention whose values have four times the channels of q and k.

    The neuron on its result has the threshold of all others, and no convolution a bias.
    """

    value_ratio = 4
    threshold = None

    def build_projection(self, neuron: NeuronConfig, bn: str) -> nn.Module:
        """Build the last layer."""
        return ConvNorm(self.value_channels, self.dims, 1, False, bn)


@MODELS.register_module()
class ESpikeFormer(StagedBackbone):
    """E-SpikeFormer backbone (SDT-V3 base): integer neurons, plain maps out.

    The stages are those of :class:`MetaSpikeFormer`. A norm and a neuron follow each
    convolution; attention blocks begin with a separable convolution, and their
    attention has values of 4 C channels and no RepConv.

    Args:
        arch: ``'T'``, ``'5M'``, ``'10M'``, ``'19M'``, or ``dict(embed_dims=(a, b, c,
            d), num_heads=8, depths=(6, 2), mlp_ratio=4)``.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        time_steps: T, number of time steps for which a still image is shown; 1 in the
            published models, whose integers stand for 4 binary steps.
        out_indices: Indices of the maps to return. 0..2 are the currents at stride 4,
            8 and 16 (after the first attention stage), 4 is that after all blocks, at
            stride 16 too, which the classifier gets, and 3 its max-pooled copy of
            stride 32; their channels are a, b, c, d, d.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        output: ``'membrane'``: maps are currents, as its own code has them, or
            ``'spikes'``: each returned map passes one more neuron.
        neuron: Options of every neuron, a MixedILIF of 4 levels unless ``type`` says
            otherwise.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        attention_scale: Factor of q k^T v: a number, ``'auto'``, or None for the
            published 2 / sqrt(d) with d channels of q a head.
        frozen_stages: See :class:`MetaSpikeFormer`.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each block stores its input only and recomputes the rest in
            the backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine; None for :class:`.ZeroResidualInit`,
            every block begins as its shortcut.

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``, of any size:
          each halving rounds up, so that a map of stride s has ceil(H / s) rows; its
          last row and column then see zeros beyond the image.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = ESpikeFormer(dict(embed_dims=(8, 16, 32, 48), depths=(1, 1)))
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 48, 2, 2])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "5M",
        in_channels: int = 3,
        time_steps: int = 1,
        out_indices: Sequence[int] = (LAST,),
        time_readout: str = "mean",
        output: str = "membrane",
        neuron: NeuronConfig | None = None,
        bn: str = "joint",
        attention_scale: float | str | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        neuron = {"type": NEURON, **(neuron or {})}
        super().__init__(
            output,
            neuron,
            in_channels=in_channels,
            time_steps=time_steps,
            out_indices=out_indices,
            time_readout=time_readout,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
            num_maps=LAST + 1,
        )
        defaults = {"num_heads": HEADS, "depths": DEPTHS, "mlp_ratio": 4}
        sizes = chosen_arch(arch, E_ARCHS, defaults)
        ratio, heads = sizes["mlp_ratio"], sizes["num_heads"]

        def conv_block(width: int) -> nn.Module:
            mixer = SeparableMixer(width, 7, neuron, bn, dense=True)
            channels = ChannelMixer(width, ratio, neuron, bn, 3, bias=False)
            return nn.Sequential(OrderedDict(mixer=mixer, channels=channels))

        def attention_block(width: int) -> nn.Module:
            scale = attention_scale
            if scale is None:
                scale = 2 * (width // heads) ** -0.5
            return nn.Sequential(
                OrderedDict(
                    mixer=SeparableMixer(width, 3, neuron, bn, dense=True),
                    attention=WideValueAttention(width, heads, neuron, bn, scale),
                    mlp=ChannelMixer(width, ratio, neuron, bn),
                )
            )

        self.build(
            sizes,
            conv_block,
            attention_block,
            neuron,
            bn,
            frozen_stages,
            attention_scale=attention_scale,
        )
