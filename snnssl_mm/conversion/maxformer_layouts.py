"""Layouts of MaxFormer and Spikingformer.

Facts about the layouts, no code, from bic-L/MaxFormer and zhouchenlin2096/Spikingformer
on GitHub, and spikingjelly 2.0.0.
"""

from __future__ import annotations

from snnssl_mm.conversion.membrane_rules import (
    FIRES,
    LIF_SETTINGS,
    Rules,
    attention,
    joined,
    mlp,
    unit,
)
from snnssl_mm.conversion.rules import Layout

SPIKINGFORMER_UNITS = (
    ("proj", "stages.0"),
    ("proj1", "stages.1"),
    ("proj2", "stages.2"),
    ("proj3", "stages.3"),
    ("proj4", "last"),
)
SPIKINGFORMER = joined(
    *(
        unit(f"patch_embed.{theirs}_conv", f"patch_embed.{theirs}_bn", f"stem.{ours}")
        for theirs, ours in SPIKINGFORMER_UNITS
    ),
    attention("block.#.attn", "blocks.#.attention", 3),
    mlp("block.#.mlp", "blocks.#.mlp", 4, "mlp{}_conv", "mlp{}_bn"),
)

FIRST = ("entry", "first", "second", "shortcut")
LATER = ("first", "second", "shortcut")


def maxformer(
    first: tuple[tuple[str, str], ...],
    later: tuple[tuple[str, str], ...],
    absorbed: bool,
    depthwise: tuple[tuple[str, str], ...],
    attention_rules: Rules,
    mlp_names: tuple[str, str] = ("fc{}_conv", "fc{}_bn"),
) -> Rules:
    """Build the rules of a MaxFormer.

    Args:
        first: Their names of convolutions and norms in the first embedding.
        later: Likewise in the others.
        absorbed: Whether those convolutions have biases that ours lack.
        depthwise: Their names of convolution and norm in the blocks of stage 1 and 2.
        attention_rules: Rules of the attention in stage 3.
        mlp_names: Their names of an MLP's convolutions and norms.
    """
    embeddings = [
        unit(f"patch_embed{number}.{conv}", f"patch_embed{number}.{norm}",
             f"embeddings.{number - 1}.{ours}", absorbed=absorbed)
        for number, units, names in ((1, first, FIRST), (2, later, LATER),
                                     (3, later, LATER))
        for (conv, norm), ours in zip(units, names, strict=True)
    ]  # fmt: skip
    mixers = [
        unit(f"stage{number}.#.{conv}", f"stage{number}.#.{norm}",
             f"stages.{number - 1}.#.mixer.depthwise", True)
        for number, (conv, norm) in enumerate(depthwise, 1)
    ]  # fmt: skip
    mlps = [
        mlp(f"stage{number}.#.mlp", f"stages.{number - 1}.#.mlp", 4, *mlp_names)
        for number in (1, 2, 3)
    ]
    return joined(*embeddings, *mixers, attention_rules, *mlps)


def convolutions(*names: str) -> tuple[tuple[str, str], ...]:
    """Name convolutions and norms by ``_conv`` and ``_bn``."""
    return tuple((f"{name}_conv", f"{name}_bn") for name in names)


MAXFORMER_DEPTHWISE = (
    ("mixer.conv5", "mixer.conv5_bn"),
    ("mixer.conv", "mixer.conv_bn"),
)
MAXFORMER_ATTENTION = attention("stage3.#.attn", "stages.2.#.mixer", 3)
MAXFORMER = maxformer(
    convolutions(*(f"embed{i}.embed" for i in (1, 2, 3, 4))),
    convolutions("max_embed1.embed", "embed1.embed", "max_embed2.embed"),
    False,
    MAXFORMER_DEPTHWISE,
    MAXFORMER_ATTENTION,
)
RELEASED_MAXFORMER = maxformer(
    convolutions("proj", "proj1", "proj2", "proj_res"),
    convolutions("proj3", "proj4", "proj_res"),
    False,
    MAXFORMER_DEPTHWISE,
    MAXFORMER_ATTENTION,
)
SJ_MAXFORMER = maxformer(
    (*((f"conv{i}", f"bn{i}") for i in (1, 2, 3)), ("shortcut.0", "shortcut.1")),
    (*((f"conv{i}", f"bn{i}") for i in (1, 2)), ("shortcut.0", "shortcut.1")),
    True,
    (("dwconv", "bn"), ("dwconv", "bn")),
    joined(
        unit("stage3.#.attn.qkv_conv_bn.0", "stage3.#.attn.qkv_conv_bn.1",
             "stages.2.#.mixer.qkv", dims=3),
        unit("stage3.#.attn.proj_conv_bn.0", "stage3.#.attn.proj_conv_bn.1",
             "stages.2.#.mixer.projection", dims=3),
    ),
    ("fc{}", "bn{}"),
)  # fmt: skip

MAXFORMER_LAYOUTS = {
    "maxformer": Layout(
        "MaxFormer",
        "official MaxFormer, ImageNet",
        MAXFORMER,
        head_neuron=FIRES,
        settings=LIF_SETTINGS,
    ),
    "maxformer-released": Layout(
        "MaxFormer",
        "official MaxFormer, older names of the released files",
        RELEASED_MAXFORMER,
        head_neuron=FIRES,
        settings=LIF_SETTINGS,
    ),
    "maxformer-spikingjelly": Layout(
        "MaxFormer",
        "spikingjelly 2.0's MaxFormer (not its CIFAR one)",
        SJ_MAXFORMER,
        head_neuron=FIRES,
        settings=dict(attention="spikes", **LIF_SETTINGS),
        note="neurons are spikingjelly's defaults; its attention is Spikformer's, "
        "unlike the published one: attention='spikes'",
    ),
    "spikingformer": Layout(
        "Spikingformer",
        "official Spikingformer, ImageNet",
        SPIKINGFORMER,
        unused=("block.#.norm1.*", "block.#.norm2.*"),
        settings=LIF_SETTINGS,
    ),
}
