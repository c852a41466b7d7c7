"""Layouts of SDT-V1, SDT-V2, SDT-V3, MaxFormer and Spikingformer.

Facts about the layouts, no code, from BICLab/Spike-Driven-Transformer (V1, V2, V3),
bic-L/MaxFormer and zhouchenlin2096/Spikingformer on GitHub, and spikingjelly 2.0.0.
"""

from __future__ import annotations

from snnssl_mm.conversion.rules import Layout, Rule
from snnssl_mm.conversion.spikformer_layouts import SPIKFORMER_NEURON

Rules = tuple[Rule, ...]
QKV = ("q", "k", "v")


def unit(
    conv: str,
    norm: str,
    ours: str,
    bias: bool = False,
    dims: int | None = None,
    part: int | None = None,
    shares: tuple[int, ...] = (1, 1, 1),
    absorbed: bool = False,
) -> Rules:
    """Build the rules of a convolution and its batch norm.

    Args:
        conv: Their name of the convolution.
        norm: Their name of the batch norm.
        ours: Our name of both.
        bias: Whether both convolutions have a bias.
        dims: See :class:`Rule`.
        part: See :class:`Rule`.
        shares: See :class:`Rule`.
        absorbed: Whether theirs has a bias that ours lacks.
    """
    rules = [
        Rule(f"{conv}.weight", f"{ours}.conv.weight", part, dims, shares=shares),
        Rule(f"{norm}.*", f"{ours}.bn.*", part, shares=shares),
    ]
    if bias:
        rules.append(Rule(f"{conv}.bias", f"{ours}.conv.bias", part, shares=shares))
    if absorbed:
        mean = f"{ours}.bn.running_mean"
        rules.append(Rule(f"{conv}.bias", mean, part, absorbed=True))
    return tuple(rules)


def attention(theirs: str, ours: str, dims: int) -> Rules:
    """Build the rules of self-attention with a batch norm after each layer."""
    parts = (
        unit(f"{theirs}.{name}_conv", f"{theirs}.{name}_bn", f"{ours}.qkv",
             dims=dims, part=part)
        for part, name in enumerate(QKV)
    )  # fmt: skip
    projection = unit(
        f"{theirs}.proj_conv", f"{theirs}.proj_bn", f"{ours}.projection", True, dims
    )
    return (*joined(*parts), *projection)


def mlp(
    theirs: str, ours: str, dims: int, conv: str = "fc{}_conv", norm: str = "fc{}_bn"
) -> Rules:
    """Build the rules of an MLP."""
    halves = ((1, "expand"), (2, "reduce"))
    return joined(
        *(
            unit(f"{theirs}.{conv.format(i)}", f"{theirs}.{norm.format(i)}",
                 f"{ours}.{name}", True, dims)
            for i, name in halves
        )
    )  # fmt: skip


def joined(*rules: Rules) -> Rules:
    """Join tuples of rules."""
    return tuple(rule for some in rules for rule in some)


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


def conv_mixers(build: object) -> Rules:
    """Build the rules of the mixers in the four convolution blocks."""
    assert callable(build)
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

NEURON = dict(neuron=SPIKFORMER_NEURON)
KD = (("head.*", "fc.*"), ("head_kd.*", "fc_kd.*"))
KD_HEADS = tuple(name for name, _ in KD)
FIRES: dict[str, object] = {}
"""A neuron like the others in front of the classifier."""

MEMBRANE_LAYOUTS = {
    "sdt-v1": Layout(
        "SpikeDrivenTransformer",
        "official Spike-driven Transformer (V1)",
        SDT,
        head_neuron=FIRES,
        unused=("block.#.attn.talking_heads.weight",),
        settings=dict(stem="imagenet", **NEURON),
        note="stem='cifar' if it was trained with pooling_stat '0011': the tensors do "
        "not say. The unused talking_heads are not written: load with strict=False",
    ),
    "sdt-spikingjelly": Layout(
        "SpikeDrivenTransformer",
        "spikingjelly 2.0's Spike-driven Transformer",
        SJ_SDT,
        head_neuron=FIRES,
        settings=dict(NEURON),
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
        settings=dict(NEURON),
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
    "maxformer": Layout(
        "MaxFormer",
        "official MaxFormer, ImageNet",
        MAXFORMER,
        head_neuron=FIRES,
        settings=dict(NEURON),
    ),
    "maxformer-released": Layout(
        "MaxFormer",
        "official MaxFormer, older names of the released files",
        RELEASED_MAXFORMER,
        head_neuron=FIRES,
        settings=dict(NEURON),
    ),
    "maxformer-spikingjelly": Layout(
        "MaxFormer",
        "spikingjelly 2.0's MaxFormer (not its CIFAR one)",
        SJ_MAXFORMER,
        head_neuron=FIRES,
        settings=dict(attention="spikes", **NEURON),
        note="neurons are spikingjelly's defaults; its attention is Spikformer's, "
        "unlike the published one: attention='spikes'",
    ),
    "spikingformer": Layout(
        "Spikingformer",
        "official Spikingformer, ImageNet",
        SPIKINGFORMER,
        unused=("block.#.norm1.*", "block.#.norm2.*"),
        settings=dict(NEURON),
    ),
}
