"""Rules that several layouts of membrane-shortcut networks share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from snnssl_mm.conversion.rules import Rule
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


LIF_SETTINGS: Mapping[str, Any] = MappingProxyType(dict(neuron=SPIKFORMER_NEURON))
"""Settings of the published neuron."""
FIRES: Mapping[str, Any] = MappingProxyType({})
"""A neuron like the others in front of the classifier."""
