"""Spikingformer, a Spikformer whose shortcuts carry currents.

Zhou et al., "Spikingformer: A Key Foundation Model for Spiking Neural Networks", AAAI
2026, arXiv 2304.11954.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from snnssl_mm.models.attention import ATTENTION_SCALE
from snnssl_mm.models.layers import ConvNorm, ConvNormNeuron, NeuronConfig, halve
from snnssl_mm.models.membrane_shortcut.attention import MembraneSelfAttention
from snnssl_mm.models.membrane_shortcut.base import (
    MembraneBackbone,
    chosen_arch,
    require_heads,
    run_blocks,
)
from snnssl_mm.models.membrane_shortcut.mixers import ChannelMixer
from snnssl_mm.registry import MODELS

SPIKINGFORMER_ARCHS = {
    "8-384": dict(embed_dims=384, depth=8, num_heads=8),
    "8-512": dict(embed_dims=512, depth=8, num_heads=8),
    "8-768": dict(embed_dims=768, depth=8, num_heads=8),
}
STAGES = 4


class SpikingTokenizer(nn.Module):
    """Five convolutions; between them each current fires and is max-pooled.

    The stages have C/8, C/4, C/2, C and C channels at strides 1, 2, 4, 8 and 16.
    """

    def __init__(
        self, in_channels: int, dims: int, neuron: NeuronConfig, bn: str
    ) -> None:
        super().__init__()
        channels = [in_channels, dims // 8, dims // 4, dims // 2, dims]
        self.stages = nn.ModuleList(
            ConvNormNeuron(i, o, 3, False, neuron, bn, halved=True)
            for i, o in pairwise(channels)
        )
        self.last = ConvNorm(dims, dims, 3, False, bn)

    def run_stage(
        self, stage: int, x: Tensor, steps: int, kept: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Compute a stage's current, if it is kept, and its max-pooled spikes.

        The current of a stage that is not kept is never written.
        """
        module: Any = self.stages[stage]
        if not kept:
            return None, module(x, steps)
        current = module.current(x)
        return current, halve(module.neuron(current))


@MODELS.register_module()
class Spikingformer(MembraneBackbone):
    """Spikingformer backbone: stateless, T steps inside, plain maps out.

    Args:
        arch: ``'8-384'``, ``'8-512'``, ``'8-768'`` (depth-channels), or
            ``dict(embed_dims=, depth=, num_heads=, mlp_ratio=4)``.
        in_channels: Channels of an image: 3 for colours, 2 for events.
        time_steps: T, number of time steps for which a still image is shown.
        out_indices: Indices of the maps to return: 0..3 have stride 4, 8, 16, 32 and
            C/2, C, C, C channels; 0 and 1 are currents of the tokenizer, 2 the current
            after the blocks, which its own classifier averages, 3 its max-pooled copy.
        time_readout: ``'mean'`` over time, or ``'none'`` to keep the time axis.
        output: ``'membrane'``: maps are currents, as its own code has them, or
            ``'spikes'``: each returned map passes one more neuron.
        neuron: Options of every MixedLIF; the attention neuron keeps its threshold of
            0.5.
        bn: ``'joint'`` batch statistics of both views in pretraining, or
            ``'per_view'``: each its own.
        attention_scale: Factor of q k^T v, 0.125 in the published models, or
            ``'auto'``; see :func:`snnssl_mm.models.attention.attention_factor`.
        frozen_stages: -1 for none, 0 for the tokenizer, k for it and the first k
            blocks: no gradient, and eval mode whatever the model's mode.
        norm_eval: Whether batch norms stay in eval mode while training.
        with_cp: Whether each stage of the tokenizer and each block stores its input
            only and recomputes the rest in the backward pass: less memory, more time.
        init_cfg: Initialisation, see mmengine; None for :class:`.ZeroResidualInit`,
            every block begins as its shortcut.

    Shape:
        - Input: ``[N, C, H, W]`` (still images) or ``[T, N, C, H, W]``; H and W are
          multiples of the largest stride in use: pad in the data preprocessor.
        - Output: tuple of ``[N, C, H', W']``, or ``[T, N, C, H', W']``.

    Example:
        >>> backbone = Spikingformer(dict(embed_dims=64, depth=1, num_heads=2))
        >>> backbone(torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 64, 2, 2])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "8-512",
        in_channels: int = 3,
        time_steps: int = 4,
        out_indices: Sequence[int] = (2,),
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
        )
        sizes = chosen_arch(arch, SPIKINGFORMER_ARCHS, {"mlp_ratio": 4})
        dims, depth, heads = sizes["embed_dims"], sizes["depth"], sizes["num_heads"]
        require_heads(dims, heads, 8)
        self.channels = (dims // 2, dims, dims, dims)
        self.stride = 2 ** (STAGES + (3 in out_indices))
        self.stem = SpikingTokenizer(in_channels, dims, neuron, bn)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    OrderedDict(
                        attention=MembraneSelfAttention(
                            dims, heads, neuron, bn, attention_scale
                        ),
                        mlp=ChannelMixer(dims, sizes["mlp_ratio"], neuron, bn),
                    )
                )
                for _ in range(depth)
            )
        )
        names = (("stem",), *((f"blocks.{index}",) for index in range(depth)))
        self.finish(
            names,
            neuron,
            frozen_stages,
            num_heads=heads,
            attention_scale=attention_scale,
        )

    def extract_currents(self, frames: Tensor, steps: int) -> list[Tensor]:
        """Compute the currents at strides 4 and 8, and that of the blocks."""
        maps, x = [], frames
        for stage in range(STAGES):
            kept = stage - 2 in self.out_indices
            current, x = self.run(
                self.stem, stage, x, steps, kept, function=self.stem.run_stage
            )
            maps.append(x if current is None else current)
        x = self.run(self.stem.last, x)
        x = run_blocks(self.blocks, x, self.run)
        return [*maps[2:], x, self.pooled(x, 3)]
