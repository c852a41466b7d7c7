"""Layouts of the Spike-driven Transformers: V1, V2 and V3 (base).

Facts about the layouts, no code, from BICLab/Spike-Driven-Transformer, -V2 and -V3 on
GitHub, and spikingjelly 2.0.0.
"""

from __future__ import annotations

from collections.abc import Callable

from snnssl_mm.conversion.membrane_rules import (
    FIRES,
    LIF_SETTINGS,
    QKV,
    Rules,
    attention,
    joined,
    mlp,
    unit,
)
from snnssl_mm.conversion.rules import Layout, Rule

SDT_UNITS = (
    ("proj_conv", "proj_bn", "stages.0"),
    ("proj_conv1", "proj_bn1", "stages.1"),
    ("proj_conv2", "proj_bn2", "stages.2"),
    ("proj_conv3", "proj_bn3", "last"),
    ("rpe_conv", "rpe_bn", "position"),
)
SDT = joined(
    *(
        unit(f"patch_embed.{conv}", f"patch_embed.{norm}", f"stem.{ours}")
        for conv, norm, ours in SDT_UNITS
    ),
    attention("block.#.attn", "blocks.#.attention", 4),
    mlp("block.#.mlp", "blocks.#.mlp", 4),
)
SJ_SDT = joined(
    *(
        unit(f"patch_embed.{theirs}.0", f"patch_embed.{theirs}.1", f"stem.{ours}",
             absorbed=True)
        for theirs, ours in (
            ("stages.0", "stages.0"),
            ("stages.1", "stages.1"),
            ("stages.2", "stages.2"),
            ("final_stage", "last"),
        )
    ),
    unit("patch_embed.rpe_conv", "patch_embed.rpe_bn", "stem.position"),
    attention("blocks.#.attn", "blocks.#.attention", 4),
    mlp("blocks.#.mlp", "blocks.#.mlp", 4, "fc{}", "bn{}"),
)  # fmt: skip

DOWNSAMPLINGS = (
    ("1_1", "entry"),
    ("1_2", "downsamplings.0.unit"),
    ("2", "downsamplings.1.unit"),
    ("3", "downsamplings.2.unit"),
    ("4", "downsamplings.3.unit"),
)
CONV_BLOCKS = ("1_1", "1_2", "2_1", "2_2")
DENSE_SEPARABLE = (
    ("pwconv1", "expand"),
    ("dwconv", "depthwise"),
    ("pwconv2", "reduce"),
)


def rep_conv(theirs: str, ours: str, part: int | None) -> Rules:
    """Build the rules of SDT-V2's RepConv and the batch norm after it."""
    pairs = (
        ("0.body.0.weight", "conv.expand.weight"),
        ("0.body.1.bn.*", "conv.expand_bn.*"),
        ("0.body.2.0.weight", "conv.depthwise.weight"),
        ("0.body.2.1.weight", "conv.reduce.weight"),
        ("0.body.2.2.*", "conv.reduce_bn.*"),
        ("1.*", "bn.*"),
    )
    return tuple(Rule(f"{theirs}.{a}", f"{ours}.{b}", part) for a, b in pairs)


def stages(mixer: str, attention_rules: str) -> tuple[tuple[str, str, str, str], ...]:
    """Name SDT-V2's and -V3's two attention stages: theirs and ours."""
    return tuple(
        (f"block{i}.#.{mixer}", f"stages.{i - 3}.#.mixer",
         f"block{i}.#.{attention_rules}", f"stages.{i - 3}.#.attention")
        for i in (3, 4)
    )  # fmt: skip


def staged(conv_mixer: Rules, attention_stage: Rules) -> Rules:
    """Build what SDT-V2 and SDT-V3 share, and the rest.

    Args:
        conv_mixer: Rules of the mixers in convolution blocks.
        attention_stage: Rules of attention blocks but their MLP.
    """
    return joined(
        *(
            unit(f"downsample{theirs}.encode_conv", f"downsample{theirs}.encode_bn",
                 ours, True)
            for theirs, ours in DOWNSAMPLINGS
        ),
        conv_mixer,
        *(
            unit(f"ConvBlock{theirs}.0.conv{i}", f"ConvBlock{theirs}.0.bn{i}",
                 f"conv_blocks.{index}.channels.{name}")
            for index, theirs in enumerate(CONV_BLOCKS)
            for i, name in ((1, "expand"), (2, "reduce"))
        ),
        attention_stage,
        *(mlp(f"block{i}.#.mlp", f"stages.{i - 3}.#.mlp", 3) for i in (3, 4)),
    )  # fmt: skip


def dense_separable(theirs: str, ours: str) -> Rules:
    """Build the rules of SDT-V3's separable convolution."""
    return joined(
        *(
            unit(f"{theirs}.{a}.0", f"{theirs}.{a}.1", f"{ours}.{b}")
            for a, b in DENSE_SEPARABLE
        )
    )


def separable(theirs: str, ours: str) -> Rules:
    """Build the rules of SDT-V2's separable convolution."""
    return joined(
        unit(f"{theirs}.pwconv1", f"{theirs}.bn1", f"{ours}.expand"),
        (Rule(f"{theirs}.dwconv.weight", f"{ours}.depthwise.weight"),),
        unit(f"{theirs}.pwconv2", f"{theirs}.bn2", f"{ours}.reduce"),
    )


def conv_mixers(build: Callable[[str, str], Rules]) -> Rules:
    """Build the rules of the mixers in the four convolution blocks."""
    return joined(
        *(
            build(f"ConvBlock{theirs}.0.Conv", f"conv_blocks.{index}.mixer")
            for index, theirs in enumerate(CONV_BLOCKS)
        )
    )


META = staged(
    conv_mixers(separable),
    joined(
        *(
            joined(
                *(
                    rep_conv(f"{theirs}.{name}_conv", f"{ours}.qkv", part)
                    for part, name in enumerate(QKV)
                ),
                rep_conv(f"{theirs}.proj_conv", f"{ours}.projection", None),
            )
            for _, _, theirs, ours in stages("conv", "attn")
        )
    ),
)
WIDE_VALUES = (1, 1, 4)
"""Channels of query, key and value."""
E_SPIKEFORMER = staged(
    conv_mixers(dense_separable),
    joined(
        *(
            joined(
                dense_separable(conv, mixer),
                *(
                    unit(f"{attn}.{name}_conv.0", f"{attn}.{name}_conv.1",
                         f"{ours}.qkv", part=part, shares=WIDE_VALUES)
                    for part, name in enumerate(QKV)
                ),
                unit(f"{attn}.proj_conv.0", f"{attn}.proj_conv.1",
                     f"{ours}.projection"),
            )
            for conv, mixer, attn, ours in stages("conv", "attn")
        )
    ),
)  # fmt: skip

KD = (("head.*", "fc.*"), ("head_kd.*", "fc_kd.*"))
KD_HEADS = tuple(name for name, _ in KD)

SDT_LAYOUTS = {
    "sdt-v1": Layout(
        "SpikeDrivenTransformer",
        "official Spike-driven Transformer (V1)",
        SDT,
        head_neuron=FIRES,
        unused=("block.#.attn.talking_heads.weight",),
        settings=dict(stem="imagenet", **LIF_SETTINGS),
        note="stem='cifar' if it was trained with pooling_stat '0011': the tensors do "
        "not say. The unused talking_heads are not written: load with strict=False",
    ),
    "sdt-spikingjelly": Layout(
        "SpikeDrivenTransformer",
        "spikingjelly 2.0's Spike-driven Transformer",
        SJ_SDT,
        head_neuron=FIRES,
        settings=LIF_SETTINGS,
        open=("stem",),
        note="neurons are spikingjelly's defaults; stem='imagenet' if it was built "
        "with pooling_stat '1111', 'cifar' if with '0011': the tensors do not say",
    ),
    "sdt-v2": Layout(
        "MetaSpikeFormer",
        "official Spike-driven Transformer V2 (Meta-SpikeFormer)",
        META,
        heads=KD_HEADS,
        classifier=KD,
        head_neuron=FIRES,
        settings=LIF_SETTINGS,
    ),
    "sdt-v3": Layout(
        "ESpikeFormer",
        "official Spike-driven Transformer V3, base (E-SpikeFormer)",
        E_SPIKEFORMER,
        heads=KD_HEADS,
        classifier=KD,
        head_neuron=dict(normalize=False),
        settings=dict(neuron=dict(levels=4)),
    ),
}
