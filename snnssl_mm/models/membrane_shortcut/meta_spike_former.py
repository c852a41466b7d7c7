"""Meta-SpikeFormer (SDT-V2): convolution blocks, then attention blocks.

Yao et al., "Spike-driven Transformer V2", ICLR 2024, arXiv 2404.03663.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.attention import ATTENTION_SCALE
from snnssl_mm.models.layers import ConvNorm, NeuronConfig, build_neuron
from snnssl_mm.models.membrane_shortcut.attention import MembraneSelfAttention
from snnssl_mm.models.membrane_shortcut.base import (
    MembraneBackbone,
    chosen_arch,
    hold,
    require_heads,
    run_blocks,
)
from snnssl_mm.models.membrane_shortcut.mixers import ChannelMixer, SeparableMixer
from snnssl_mm.models.membrane_shortcut.rep_conv import (
    Reparametrised,
    RepConvNorm,
    RepConvNormNeuron,
)
from snnssl_mm.registry import MODELS

META_ARCHS = {
    "15M": dict(embed_dims=(64, 128, 256, 360)),
    "31M": dict(embed_dims=(96, 192, 384, 480)),
    "55M": dict(embed_dims=(128, 256, 512, 640)),
}
HEADS = 8
DEPTHS = (6, 2)
"""Attention blocks at stride 16, before and after the last change of channels."""
LAST = 4
"""Index of the map after all blocks, unpooled."""


class Downsampling(nn.Module):
    """Neuron, convolution with a bias, batch norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        neuron: NeuronConfig,
        bn: str,
    ) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron)
        self.unit = ConvNorm(in_channels, out_channels, 3, True, bn, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the current for the current ``x`` [T, N, C, H, W]."""
        current: Tensor = self.unit(self.neuron(x))
        return current


class RepConvAttention(MembraneSelfAttention):
    """Self-attention whose projections are RepConvs, see :mod:`.rep_conv`."""

    def build_qkv(self, neuron: NeuronConfig, bn: str) -> nn.Module:
        """Build the layer that gives q, k and v, next to each other."""
        return RepConvNormNeuron(self.dims, 3, neuron, bn)

    def build_projection(self, neuron: NeuronConfig, bn: str) -> nn.Module:
        """Build the last layer."""
        return RepConvNorm(self.dims, bn)


class StagedBackbone(MembraneBackbone):
    """Stage plan of SDT-V2 and SDT-V3.

    Convolution of 7x7 and stride 2; blocks of convolutions at strides 2 and 4 (one
    each) and 8 (two); attention blocks at stride 16. A subclass builds the blocks.
    """

    any_size = True

    def build(
        self,
        sizes: Mapping[str, Any],
        conv_block: Any,
        attention_block: Any,
        neuron: NeuronConfig,
        bn: str,
        frozen_stages: int,
        **structure: Any,
    ) -> None:
        """Build the network.

        Args:
            sizes: ``embed_dims`` (four), ``num_heads``, ``depths`` (two).
            conv_block: Builds a convolution block from its channels.
            attention_block: Builds an attention block from its channels.
            neuron: Options of every neuron.
            bn: See :mod:`snnssl_mm.models.batch_norm`.
            frozen_stages: See :meth:`SpikingBackbone.freeze`.
            **structure: Settings that decide the function.
        """
        dims, depths = tuple(sizes["embed_dims"]), tuple(sizes["depths"])
        if len(dims) != 4 or len(depths) != 2:
            raise ValueError(
                "embed_dims must be four numbers of channels and depths two of blocks, "
                f"got {dims} and {depths}"
            )
        for width in dims[2:]:
            require_heads(width, sizes["num_heads"], 1)
        require_heads(dims[0], 1, 2)
        self.channels = (*dims, dims[3])
        self.stride = 32 if 3 in self.out_indices else 16
        self.entry = ConvNorm(self.in_channels, dims[0] // 2, 7, True, bn, 2)
        widths = (dims[0] // 2, dims[0], dims[1], dims[1])
        self.conv_blocks = nn.ModuleList(conv_block(width) for width in widths)
        plan = ((widths[0], dims[0], 2), (dims[0], dims[1], 2), (dims[1], dims[2], 2))
        self.downsamplings = nn.ModuleList(
            Downsampling(i, o, stride, neuron, bn)
            for i, o, stride in (*plan, (dims[2], dims[3], 1))
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(attention_block(width) for _ in range(depth)))
            for width, depth in zip(dims[2:], depths, strict=True)
        )
        down, conv = "downsamplings.{}".format, "conv_blocks.{}".format
        names: list[tuple[str, ...]] = [
            ("entry",),
            (conv(0), down(0), conv(1)),
            (down(1), conv(2), conv(3)),
        ]
        for stage, depth in enumerate(depths):
            blocks = [(f"stages.{stage}.{index}",) for index in range(depth)]
            names += [(down(stage + 2), *blocks[0]), *blocks[1:]]
        self.finish(
            names, neuron, frozen_stages, num_heads=sizes["num_heads"], **structure
        )

    def extract_currents(self, frames: Tensor, steps: int) -> list[Tensor]:
        """Compute the currents after the convolution stages and attention stages."""
        run, down = self.run, self.downsamplings
        current = run(self.entry, frames)
        x = run(self.conv_blocks[0], hold(current, steps))
        x = run(self.conv_blocks[1], run(down[0], x))
        maps = [x]
        x = run_blocks(self.conv_blocks[2:], run(down[1], x), run)
        maps.append(x)
        for index, stage in enumerate(self.stages):
            x = run_blocks(stage, run(down[index + 2], x), run)
            maps.append(x)
        return [*maps[:3], self.pooled(x, 3), x]


@MODELS.register_module()
class MetaSpikeFormer(StagedBackbone):
    """Meta-SpikeFormer backbone (SDT-V2): stateless, T steps inside, plain maps out.

    Args:
        arch: ``'15M'``, ``'31M'``, ``'55M'`` (the official constructors ``8_384`` and
            ``8_512`` are the last two), or ``dict(embed_dims=(a, b, c, d),
            num_heads=8, depths=(6, 2), mlp_ratio=4)``.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Indices of the maps to return. 0..2 are the currents at stride 4,
            8 and 16 (after the first attention stage), 4 is that after all blocks, at
            stride 16 too, which the classifier gets, and 3 its max-pooled copy of
            stride 32; their channels are a, b, c, d, d.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        output: ``'membrane'``: maps are currents, as its own code has them, or
            ``'spikes'``: each returned map passes one more neuron.
        neuron: Options of every MixedLIF; the attention neuron keeps its threshold of
            0.5.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        attention_scale: Factor of q k^T v, 0.125 in the published models, or
            ``'auto'``; see :func:`snnssl_mm.models.attention.attention_factor`.
        frozen_stages: -1 for none, 0 for the first convolution, 1 for the blocks up to
            stride 4, 2 up to stride 8, 2 + k for k attention blocks: no gradient, and
            eval mode whatever the model's mode.
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
        >>> backbone = MetaSpikeFormer(dict(embed_dims=(8, 16, 32, 48), depths=(1, 1)))
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 48, 2, 2])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "15M",
        in_channels: int = 3,
        time_steps: int = 4,
        out_indices: Sequence[int] = (LAST,),
        time_readout: str = "mean",
        output: str = "membrane",
        neuron: NeuronConfig | None = None,
        bn: str = "joint",
        attention_scale: float | str = ATTENTION_SCALE,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        neuron = dict(neuron or {})
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
        sizes = chosen_arch(arch, META_ARCHS, defaults)
        ratio, heads = sizes["mlp_ratio"], sizes["num_heads"]

        def conv_block(width: int) -> nn.Module:
            mixer = SeparableMixer(width, 7, neuron, bn, dense=False)
            channels = ChannelMixer(width, ratio, neuron, bn, 3, bias=False)
            return nn.Sequential(OrderedDict(mixer=mixer, channels=channels))

        def attention_block(width: int) -> nn.Module:
            attention = RepConvAttention(width, heads, neuron, bn, attention_scale)
            mlp = ChannelMixer(width, ratio, neuron, bn)
            return nn.Sequential(OrderedDict(attention=attention, mlp=mlp))

        self.build(
            sizes,
            conv_block,
            attention_block,
            neuron,
            bn,
            frozen_stages,
            attention_scale=attention_scale,
        )

    def switch_to_deploy(self) -> None:
        """Fold each RepConv into one convolution of 3x3, for inference.

        Exact up to rounding in eval mode. A folded network has other tensors, and
        fine-tunes differently, see :class:`RepConv`.
        """
        for module in list(self.modules()):
            if isinstance(module, Reparametrised):
                module.switch_to_deploy()
