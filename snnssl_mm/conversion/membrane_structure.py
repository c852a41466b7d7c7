"""Settings of membrane-shortcut backbones inferred from their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snnssl_mm.conversion.tensors import count_children
from snnssl_mm.models.membrane_shortcut.max_former import MAXFORMER_ARCHS
from snnssl_mm.models.membrane_shortcut.spike_driven_transformer import SDT_ARCHS
from snnssl_mm.models.membrane_shortcut.spikingformer import SPIKINGFORMER_ARCHS

State = Mapping[str, Tensor]
Archs = Mapping[str, Mapping[str, Any]]
PUBLISHED_RATIO = 4


def named(
    archs: Archs,
    sizes: Mapping[str, Any],
    others: Mapping[str, Any],
    entry: Tensor,
) -> dict[str, Any]:
    """Return ``arch`` by its name if these are published sizes, and ``in_channels``.

    Args:
        archs: Published sizes by name.
        sizes: Sizes that distinguish them.
        others: Other sizes of the network, with the value of published ones; they are
            left out if they have it.
        entry: Weight of the first convolution.
    """
    rest = {name: value for name, (value, usual) in others.items() if value != usual}
    found = next(
        (
            name
            for name, arch in archs.items()
            if all(arch[key] == value for key, value in sizes.items())
        ),
        None,
    )
    arch = found if found and not rest else {**sizes, **rest}
    return {"arch": arch} | channels_of(entry)


def channels_of(entry: Tensor) -> dict[str, int]:
    """Return ``in_channels`` of a first convolution's weight, unless it is 3."""
    channels = entry.shape[1]
    return {} if channels == 3 else {"in_channels": channels}


def block_sizes(state: State) -> tuple[int, int, dict[str, Any]]:
    """Return channels, depth and ratio of a network of equal blocks."""
    dims = len(state["stem.last.conv.weight"])
    ratio = len(state["blocks.0.mlp.expand.conv.weight"]) / dims
    others = {"mlp_ratio": (ratio, PUBLISHED_RATIO)}
    return dims, count_children(state, "blocks"), others


def sdt_settings(state: State) -> dict[str, Any]:
    """Infer ``arch`` of a SpikeDrivenTransformer."""
    dims, depth, others = block_sizes(state)
    sizes = dict(embed_dims=dims, depth=depth)
    return named(SDT_ARCHS, sizes, others, state["stem.stages.0.conv.weight"])


def spikingformer_settings(state: State) -> dict[str, Any]:
    """Infer a Spikingformer's ``arch``; its heads are known for published sizes."""
    dims, depth, others = block_sizes(state)
    sizes = dict(embed_dims=dims, depth=depth)
    entry = state["stem.stages.0.conv.weight"]
    return named(SPIKINGFORMER_ARCHS, sizes, others, entry)


def maxformer_settings(state: State) -> dict[str, Any]:
    """Infer a MaxFormer's ``arch``."""
    dims = len(state["embeddings.2.second.conv.weight"])
    depths = tuple(count_children(state, f"stages.{stage}") for stage in range(3))
    ratio = len(state["stages.2.0.mlp.expand.conv.weight"]) / dims
    others = {
        "depths": (depths, (1, 2, 7)),
        "mlp_ratio": (ratio, PUBLISHED_RATIO),
    }
    entry = state["embeddings.0.entry.conv.weight"]
    return named(MAXFORMER_ARCHS, dict(embed_dims=dims), others, entry)


def staged_settings(archs: Archs, state: State) -> dict[str, Any]:
    """Infer ``arch`` of a MetaSpikeFormer or an ESpikeFormer."""
    downsamplings = (f"downsamplings.{i}.unit.conv.weight" for i in range(4))
    dims = tuple(len(state[name]) for name in downsamplings)
    depths = tuple(count_children(state, f"stages.{stage}") for stage in range(2))
    ratio = len(state["stages.1.0.mlp.expand.conv.weight"]) / dims[3]
    others = {"depths": (depths, (6, 2)), "mlp_ratio": (ratio, PUBLISHED_RATIO)}
    return named(archs, dict(embed_dims=dims), others, state["entry.conv.weight"])
