"""Layouts of the official Spikformers and of spikingjelly 2.0's.

Facts about the layouts, no code, from ZK-Zhou/spikformer on GitHub and spikingjelly
2.0.0.
"""

from __future__ import annotations

from snnssl_mm.conversion.rules import Layout, Rule

SPIKFORMER_NEURON = dict(tau=2.0, decay_input=True, surrogate="sigmoid")


def spikformer(
    stage: str,
    norm: str,
    position: tuple[str, str],
    rest: tuple[Rule, ...],
    numbers: tuple[str, ...],
) -> tuple[Rule, ...]:
    """Build the rules of a Spikformer: of the stem, then ``rest``, of the blocks.

    Args:
        stage: Their name of a stage's convolution, with a placeholder for its number.
        norm: Their name of its batch norm, likewise.
        position: Their names of convolution and batch norm of the position embedding.
        rest: Rules of the blocks.
        numbers: Their numbers of the stages.
    """
    rules = [
        rule
        for index, number in enumerate(numbers)
        for rule in (
            Rule(stage.format(number) + ".weight", f"stem.stages.{index}.conv.weight"),
            Rule(norm.format(number) + ".*", f"stem.stages.{index}.bn.*"),
        )
    ]
    rules.append(Rule(f"{position[0]}.weight", "stem.position.conv.weight"))
    rules.append(Rule(f"{position[1]}.*", "stem.position.bn.*"))
    return (*rules, *rest)


def official_blocks(kind: str, mlp: str, dims: int, mlp_dims: int) -> tuple[Rule, ...]:
    """Build the rules of ZK-Zhou/spikformer's blocks, whose q, k and v are separate.

    Args:
        kind: Their name of the attention's layers, ``conv`` or ``linear``.
        mlp: Their name of the MLP's layers, likewise.
        dims: Dimensions of the attention's weights.
        mlp_dims: Dimensions of the MLP's weights.
    """
    rules = []
    for part, name in enumerate("qkv"):
        theirs = f"block.#.attn.{name}"
        ours = "blocks.#.attention.qkv"
        rules += [
            Rule(f"{theirs}_{kind}.weight", f"{ours}.conv.weight", part, dims),
            Rule(f"{theirs}_bn.*", f"{ours}.bn.*", part),
        ]
        if kind == "linear":
            mean = f"{ours}.bn.running_mean"
            rules.append(Rule(f"{theirs}_{kind}.bias", mean, part, absorbed=True))
    for theirs, norm, ours, size in (
        (f"attn.proj_{kind}", "attn.proj_bn", "attention.projection", dims),
        (f"mlp.fc1_{mlp}", "mlp.fc1_bn", "mlp.0", mlp_dims),
        (f"mlp.fc2_{mlp}", "mlp.fc2_bn", "mlp.1", mlp_dims),
    ):
        rules += [
            Rule(
                f"block.#.{theirs}.weight", f"blocks.#.{ours}.conv.weight", None, size
            ),
            Rule(f"block.#.{theirs}.bias", f"blocks.#.{ours}.conv.bias"),
            Rule(f"block.#.{norm}.*", f"blocks.#.{ours}.bn.*"),
        ]
    return tuple(rules)


OFFICIAL_STEM = (
    "patch_embed.proj_conv{}",
    "patch_embed.proj_bn{}",
    ("patch_embed.rpe_conv", "patch_embed.rpe_bn"),
)
NUMBERS = ("", "1", "2", "3")
SPIKINGJELLY_BLOCKS = tuple(
    rule
    for theirs, ours in (
        ("attn.qkv_conv_bn", "attention.qkv"),
        ("attn.proj_conv_bn", "attention.projection"),
        ("mlp.fc1", "mlp.0"),
        ("mlp.fc2", "mlp.1"),
    )
    for rule in (
        Rule(f"blocks.#.{theirs}.0.weight", f"blocks.#.{ours}.conv.weight", None, 3),
        Rule(f"blocks.#.{theirs}.1.*", f"blocks.#.{ours}.bn.*"),
    )
)

SPIKFORMER_LAYOUTS = {
    "spikformer-imagenet": Layout(
        "Spikformer",
        "official Spikformer, ImageNet (and STEP's)",
        spikformer(*OFFICIAL_STEM, official_blocks("conv", "conv", 3, 4), NUMBERS),
        unused=("block.#.norm1.*", "block.#.norm2.*"),
        settings=dict(stem="imagenet", neuron=SPIKFORMER_NEURON),
    ),
    "spikformer-cifar": Layout(
        "Spikformer",
        "official Spikformer, CIFAR",
        spikformer(*OFFICIAL_STEM, official_blocks("linear", "linear", 2, 2), NUMBERS),
        unused=("block.#.norm1.*", "block.#.norm2.*"),
        settings=dict(stem="cifar", neuron=SPIKFORMER_NEURON),
    ),
    "spikformer-dvs": Layout(
        "Spikformer",
        "official Spikformer, CIFAR10-DVS",
        spikformer(*OFFICIAL_STEM, official_blocks("conv", "conv", 3, 3), NUMBERS),
        unused=("block.#.norm1.*", "block.#.norm2.*", "norm.*", "pos_embed"),
        settings=dict(stem="imagenet", attention_scale=0.25, neuron=SPIKFORMER_NEURON),
    ),
    "spikformer-spikingjelly": Layout(
        "Spikformer",
        "spikingjelly 2.0's Spikformer",
        spikformer(
            "patch_embed.stages.{}.conv_bn.block.0",
            "patch_embed.stages.{}.conv_bn.block.1",
            (
                "patch_embed.positional_encoding.conv_bn.block.0",
                "patch_embed.positional_encoding.conv_bn.block.1",
            ),
            SPIKINGJELLY_BLOCKS,
            ("0", "1", "2", "3"),
        ),
        settings=dict(pooled="current", neuron=SPIKFORMER_NEURON),
        open=("stem",),
        note="neurons are spikingjelly's defaults; stem='imagenet' if it was built "
        "with patch_size=16, 'cifar' if with 4: the tensors do not say",
    ),
}
