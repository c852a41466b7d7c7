"""MaxFormer, a pyramid of depthwise convolutions and attention between max-poolings.

Fang et al., "Spiking Neural Networks Need High-Frequency Information", NeurIPS 2025,
arXiv 2505.18608.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.attention import ATTENTION_SCALE, SpikingSelfAttention
from snnssl_mm.models.layers import (
    ConvNorm,
    ConvNormNeuron,
    NeuronConfig,
    build_neuron,
    halve,
)
from snnssl_mm.models.membrane_shortcut.attention import MembraneSelfAttention
from snnssl_mm.models.membrane_shortcut.base import (
    MembraneBackbone,
    chosen_arch,
    require_heads,
    run_blocks,
)
from snnssl_mm.models.membrane_shortcut.mixers import ChannelMixer, DepthwiseMixer
from snnssl_mm.neurons.expansion import hold_mean
from snnssl_mm.registry import MODELS

MAXFORMER_ARCHS = {
    "10-384": dict(embed_dims=384),
    "10-512": dict(embed_dims=512),
    "10-768": dict(embed_dims=768),
}
HEAD_CHANNELS = 64
KERNELS = (7, 5)
"""Kernels of the depthwise convolutions in stages 1 and 2."""


class SpikeAddingAttention(SpikingSelfAttention):
    """Spikformer's attention on currents; its spikes are added to them."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each time step of the current ``x`` [T, N, C, H, W]."""
        return x + super().forward(x)


ATTENTIONS: dict[str, Callable[..., nn.Module]] = {
    "membrane": MembraneSelfAttention,
    "spikes": SpikeAddingAttention,
}


class FirstEmbedding(nn.Module):
    """Stem of stride 4: strided convolutions, and a strided shortcut of 1x1."""

    def __init__(
        self, in_channels: int, out_channels: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.entry = ConvNormNeuron(in_channels, half, 3, False, neuron, bn, 2)
        self.first = ConvNormNeuron(half, out_channels, 3, False, neuron, bn, 2)
        self.second = ConvNorm(out_channels, out_channels, 3, False, bn)
        self.shortcut = ConvNorm(half, out_channels, 1, False, bn, 2)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        """Compute the current [T, N, C, H/4, W/4] for images ``x``."""
        spikes = self.entry(x, steps)
        return self.second(self.first(spikes)) + self.shortcut(spikes)


class MaxEmbedding(nn.Module):
    """Halving between stages: currents of the branch and the shortcut are max-pooled.

    Max-pooling keeps the high frequencies that leaky neurons take away.

    Attributes:
        spike_steps: Binary steps that stand for one integer, see
            :func:`snnssl_mm.neurons.expand_to_spikes`.
    """

    spike_steps = 1

    def __init__(
        self, in_channels: int, out_channels: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        self.neuron = build_neuron(neuron)
        self.first = ConvNormNeuron(in_channels, out_channels, 3, False, neuron, bn)
        self.second = ConvNorm(out_channels, out_channels, 3, False, bn)
        self.shortcut = ConvNorm(in_channels, out_channels, 1, False, bn)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        """Compute the current [T, N, C', H/2, W/2] for the current ``x``."""
        spikes = self.neuron(x)
        branch = self.first.neuron(self.pool(self.first.current(spikes)))
        return self.second(branch) + self.pool(self.shortcut(spikes))

    def pool(self, current: Tensor) -> Tensor:
        """Max-pool a current."""
        return halve(hold_mean(current, self.spike_steps))


@MODELS.register_module()
class MaxFormer(MembraneBackbone):
    """MaxFormer backbone: stateless, T steps inside, plain maps out.

    Three stages: one block with a depthwise convolution of 7x7, two with 5x5, seven
    with self-attention of 64 channels a head.

    Args:
        arch: ``'10-384'``, ``'10-512'``, ``'10-768'`` (blocks-channels), or
            ``dict(embed_dims=, depths=(1, 2, 7), num_heads=, mlp_ratio=4)``.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Indices of the maps to return: 0..3 have stride 4, 8, 16, 32 and
            C/4, C/2, C, C channels; 0..2 are the currents after the stages, 3 the
            max-pooled copy of the last.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        output: ``'membrane'``: maps are currents, as its own code has them, or
            ``'spikes'``: each returned map passes one more neuron.
        neuron: Options of every MixedLIF; the attention neuron keeps its threshold of
            0.5.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        attention_scale: Factor of q k^T v, 0.125 in the published models, or
            ``'auto'``; see :func:`snnssl_mm.models.attention.attention_factor`.
        attention: ``'membrane'``: neurons first, as published, or ``'spikes'``:
            Spikformer's, which gets currents and adds spikes, as in SpikingJelly's
            MaxFormer.
        frozen_stages: -1 for none, 0 for the first embedding, k for it and the first
            k stages, of which the second and third begin with their embedding: no
            gradient, and eval mode whatever the model's mode.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each embedding and each block stores its input only and
            recomputes the rest in the backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine; None for :class:`.ZeroResidualInit`,
            every block begins as its shortcut.

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``; H and W are
          multiples of the largest stride in use: pad in the data preprocessor.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = MaxFormer(dict(embed_dims=64, depths=(1, 1, 1)))
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 64, 2, 2])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "10-384",
        in_channels: int = 3,
        time_steps: int = 4,
        out_indices: Sequence[int] = (2,),
        time_readout: str = "mean",
        output: str = "membrane",
        neuron: NeuronConfig | None = None,
        bn: str = "joint",
        attention_scale: float | str = ATTENTION_SCALE,
        attention: str = "membrane",
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
        )
        defaults = {"depths": (1, 2, 7), "num_heads": None, "mlp_ratio": 4}
        sizes = chosen_arch(arch, MAXFORMER_ARCHS, defaults)
        dims, depths = sizes["embed_dims"], sizes["depths"]
        heads = sizes["num_heads"] or max(1, dims // HEAD_CHANNELS)
        require_heads(dims, heads, 8)
        if len(depths) != 3:
            raise ValueError(f"depths must be three numbers of blocks, got {depths}")
        if attention not in ATTENTIONS:
            raise ValueError(
                f"attention must be one of {sorted(ATTENTIONS)}, got {attention!r}"
            )
        self.channels = (dims // 4, dims // 2, dims, dims)
        self.stride = 32 if 3 in out_indices else 16

        def block(stage: int) -> nn.Module:
            width = self.channels[stage]
            mixer: nn.Module
            if stage < len(KERNELS):
                mixer = DepthwiseMixer(width, KERNELS[stage], neuron, bn)
            else:
                mixer = ATTENTIONS[attention](width, heads, neuron, bn, attention_scale)
            mlp = ChannelMixer(
                width, sizes["mlp_ratio"], neuron, bn, inner_residual=True
            )
            return nn.Sequential(OrderedDict(mixer=mixer, mlp=mlp))

        self.embeddings = nn.ModuleList(
            [
                FirstEmbedding(in_channels, self.channels[0], neuron, bn),
                MaxEmbedding(self.channels[0], self.channels[1], neuron, bn),
                MaxEmbedding(self.channels[1], self.channels[2], neuron, bn),
            ]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(block(stage) for _ in range(depth)))
            for stage, depth in enumerate(depths)
        )
        names = (
            ("embeddings.0",),
            ("stages.0",),
            ("embeddings.1", "stages.1"),
            ("embeddings.2", "stages.2"),
        )
        self.finish(
            names,
            neuron,
            frozen_stages,
            num_heads=heads,
            attention_scale=attention_scale,
            attention=attention,
        )

    def extract_currents(self, frames: Tensor, steps: int) -> list[Tensor]:
        """Compute the current after each stage."""
        maps, x = [], frames
        for embedding, stage in zip(self.embeddings, self.stages, strict=True):
            x = run_blocks(stage, self.run(embedding, x, steps), self.run)
            maps.append(x)
        return [*maps, self.pooled(x, 3)]
