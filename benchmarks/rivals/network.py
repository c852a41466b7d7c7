"""Spikformer from spikingjelly's layers, and spikingjelly's own."""

from __future__ import annotations

from itertools import pairwise

import torch
from spikingjelly.activation_based import functional, layer
from spikingjelly.activation_based.model import spikformer as sj_spikformer
from torch import Tensor, nn

from rivals.neuron import lif_node
from snnssl_mm.models import Spikformer
from snnssl_mm.models.spikformer import POOLED_STAGES


class Stage(nn.Module):
    """Convolution, batch norm and LIFNode of spikingjelly, pooled after the neuron."""

    def __init__(self, in_channels: int, out_channels: int, pooled: bool) -> None:
        super().__init__()
        self.conv_bn = layer.SeqToANNContainer(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.neuron = lif_node()
        pool = [layer.SeqToANNContainer(nn.MaxPool2d(3, 2, 1))] if pooled else []
        self.pool = nn.Sequential(*pool)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes for ``x`` [T, N, C, H, W]."""
        return self.pool(self.neuron(self.conv_bn(x)))


class SpikingjellyBackbone(nn.Module):
    """Steps, state and output of a spikingjelly network as our backbones have them.

    As in spikingjelly's Spikformer the image is repeated over time before the stem.

    Args:
        stem: Maps ``[T, N, 3, H, W]`` to ``[T, N, C, h, w]``.
        blocks: Follow it.
        time_steps: T.
    """

    def __init__(self, stem: nn.Module, blocks: nn.Module, time_steps: int) -> None:
        super().__init__()
        self.stem, self.blocks, self.time_steps = stem, blocks, time_steps

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the map [T, N, C, h, w] for images [N, 3, H, W]."""
        functional.reset_net(self)
        return (self.blocks(self.stem(x.repeat(self.time_steps, 1, 1, 1, 1))),)


class AssembledStem(nn.Module):
    """The stem in the order of the published Spikformer: pooled after the neuron."""

    def __init__(self, dims: int, kind: str) -> None:
        super().__init__()
        channels = [3, dims // 8, dims // 4, dims // 2, dims]
        self.stages = nn.Sequential(
            *(
                Stage(i, o, index in POOLED_STAGES[kind])
                for index, (i, o) in enumerate(pairwise(channels))
            )
        )
        self.position = Stage(dims, dims, pooled=False)

    def forward(self, x: Tensor) -> Tensor:
        """Spike counts for ``x`` [T, N, 3, H, W]."""
        x = self.stages(x)
        return self.position(x) + x


def assembled(ours: Spikformer) -> SpikingjellyBackbone:
    """Assemble the network of ``ours`` from spikingjelly's layers, with its weights.

    The blocks are spikingjelly's; their convolutions get the biases that the
    published models have and spikingjelly's do not.
    """
    dims = ours.embed_dims
    stem = AssembledStem(dims, ours.structure["stem"])
    for target, source in zip(
        [*stem.stages, stem.position],
        [*ours.stem.stages, ours.stem.position],
        strict=True,
    ):
        carry_weights(source, target.conv_bn)
    blocks = []
    for source in ours.blocks:
        mlp_ratio = source.mlp[0].conv.out_channels / dims
        block = sj_spikformer.SpikformerBlock(
            dims, ours.structure["num_heads"], mlp_ratio
        )
        for container, unit in (
            (block.attn.qkv_conv_bn, source.attention.qkv),
            (block.attn.proj_conv_bn, source.attention.projection),
            (block.mlp.fc1, source.mlp[0]),
            (block.mlp.fc2, source.mlp[1]),
        ):
            carry_weights(unit, container)
        blocks.append(block)
    backbone = SpikingjellyBackbone(stem, nn.Sequential(*blocks), ours.time_steps)
    return backbone.to(next(ours.parameters()).device).train(ours.training)


def carry_weights(source: nn.Module, container: nn.Sequential) -> None:
    """Give a convolution and batch norm of spikingjelly the weights of ours."""
    conv = container[0]
    if source.conv.bias is not None:
        conv.bias = nn.Parameter(torch.empty_like(source.conv.bias))
    state = source.conv.state_dict()
    conv.load_state_dict(
        {key: value.view_as(conv.state_dict()[key]) for key, value in state.items()}
    )
    container[1].load_state_dict(source.bn.state_dict())


def own_spikformer(ours: Spikformer, pixels: int) -> SpikingjellyBackbone:
    """Make spikingjelly's own Spikformer of the same size, with its own weights.

    Another function: it pools before the neuron, which leaves a quarter of the
    stem's neuron-steps, and has no biases.
    """
    kind = ours.structure["stem"]
    network = sj_spikformer.Spikformer(
        T=ours.time_steps,
        img_size_h=pixels,
        img_size_w=pixels,
        patch_size={"imagenet": 16, "cifar": 4}[kind],
        num_classes=1,
        embed_dims=ours.embed_dims,
        num_heads=ours.structure["num_heads"],
        depths=len(ours.blocks),
    )
    blocks = nn.Sequential(*network.blocks)
    return SpikingjellyBackbone(network.patch_embed, blocks, ours.time_steps)
