"""Backbone settings inferred from the tensors of a state dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnssl_mm.conversion.membrane_structure import (
    PUBLISHED_RATIO,
    channels_of,
    maxformer_settings,
    named,
    sdt_settings,
    spikingformer_settings,
    staged_settings,
)
from snnssl_mm.conversion.tensors import count_children
from snnssl_mm.models import (
    ESpikeFormer,
    MaxFormer,
    MetaSpikeFormer,
    SpikeDrivenTransformer,
    Spikformer,
    Spikingformer,
    SpikingResNet,
)
from snnssl_mm.models.membrane_shortcut.e_spike_former import E_ARCHS
from snnssl_mm.models.membrane_shortcut.max_former import MAXFORMER_ARCHS
from snnssl_mm.models.membrane_shortcut.meta_spike_former import META_ARCHS
from snnssl_mm.models.membrane_shortcut.spike_driven_transformer import SDT_ARCHS
from snnssl_mm.models.membrane_shortcut.spikingformer import SPIKINGFORMER_ARCHS
from snnssl_mm.models.spikformer import ARCHS
from snnssl_mm.models.spiking_resnet import BOTTLENECKED, DEPTHS, STEMS
from snnssl_mm.neurons.kernels.integer_reference import ILIFParameters
from snnssl_mm.neurons.kernels.reference import LIFParameters


def spikformer_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer a Spikformer's ``arch``; its heads are known for published sizes only."""
    dims = len(state["stem.stages.3.conv.weight"])
    depth = count_children(state, "blocks")
    ratio = len(state["blocks.0.mlp.0.conv.weight"]) / dims
    others = {"mlp_ratio": (ratio, PUBLISHED_RATIO)}
    entry = state["stem.stages.0.conv.weight"]
    return named(ARCHS, dict(embed_dims=dims, depth=depth), others, entry)


def resnet_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer a ResNet's depth, stem and width, and its shortcut if visible."""
    stages = [count_children(state, f"layer{i}") for i in range(1, 5)]
    stages = [blocks for blocks in stages if blocks]
    bottleneck = "layer1.0.conv3.weight" in state
    depths = [
        depth
        for depth, blocks in DEPTHS.items()
        if (depth >= BOTTLENECKED) == bottleneck
        and blocks[: len(stages)] == tuple(stages)
    ]
    if not depths:
        raise ValueError(
            f"a ResNet with {stages} {'bottlenecks' if bottleneck else 'blocks'} has "
            f"none of the depths {list(DEPTHS)}"
        )
    width, kernel = len(state["conv1.weight"]), state["conv1.weight"].shape[-1]
    stems = [stem for stem, (size, _) in STEMS.items() if size == kernel]
    if not stems:
        raise ValueError(f"a stem of {kernel}x{kernel} is none of {list(STEMS)}")
    settings: dict[str, Any] = dict(depth=depths[0], stem=stems[0])
    settings |= channels_of(state["conv1.weight"])
    if width != 64:
        settings["base_channels"] = width
    if len(stages) != 4:
        settings["num_stages"] = len(stages)
    if not bottleneck and "layer1.0.downsample.0.weight" in state:
        settings["shortcut"] = "ms"  # the only one whose first stage has a stride
    return settings


class Family(NamedTuple):
    """What conversion knows about one of our backbone classes.

    Attributes:
        kind: The class.
        find: Infers the settings that the tensors show.
        hidden: Settings that decide the function and that the tensors do not show.
        archs: Published sizes by name.
        heads: ``'asked'`` if no tensor shows their number and it is known for published
            sizes only, ``'known'`` if it follows a rule, or ``'none'``.
    """

    kind: Callable[..., Any]
    find: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    hidden: tuple[str, ...] = ("neuron",)
    archs: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    heads: str = "none"


STEM = ("stem", "neuron")
FAMILIES = {
    "Spikformer": Family(Spikformer, spikformer_settings, STEM, ARCHS, "asked"),
    "SpikingResNet": Family(SpikingResNet, resnet_settings, ("shortcut", "neuron")),
    "SpikeDrivenTransformer": Family(
        SpikeDrivenTransformer, sdt_settings, STEM, SDT_ARCHS
    ),
    "Spikingformer": Family(
        Spikingformer,
        spikingformer_settings,
        archs=SPIKINGFORMER_ARCHS,
        heads="asked",
    ),
    "MaxFormer": Family(
        MaxFormer, maxformer_settings, archs=MAXFORMER_ARCHS, heads="known"
    ),
    "MetaSpikeFormer": Family(
        MetaSpikeFormer,
        partial(staged_settings, META_ARCHS),
        archs=META_ARCHS,
        heads="known",
    ),
    "ESpikeFormer": Family(
        ESpikeFormer, partial(staged_settings, E_ARCHS), archs=E_ARCHS, heads="known"
    ),
}
"""Our backbone classes by name."""


def add_given(
    family: str, settings: dict[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Add settings given by the user, which override a layout's.

    Args:
        family: Name of our backbone class.
        settings: Settings of our backbone.
        given: Further ones, and ``num_heads`` of its attention; options of ``neuron``
            that are left out keep their values.
    """
    given = dict(given)
    heads = given.pop("num_heads", None)
    if "neuron" in given:
        given["neuron"] = {**settings.get("neuron", {}), **given["neuron"]}
    settings = {**settings, **given}
    if heads is None:
        return settings
    if FAMILIES[family].heads == "none":
        raise ValueError(f"num_heads does not matter: a {family} has no such option")
    arch = settings["arch"]
    sizes = FAMILIES[family].archs[arch] if isinstance(arch, str) else arch
    if heads == sizes.get("num_heads"):
        return settings
    return {**settings, "arch": {**sizes, "num_heads": heads}}


FREE = frozenset(
    (
        "type",
        "bn",
        "frozen_stages",
        "init_cfg",
        "output",
        "norm_eval",
        "out_indices",
        "time_readout",
        "time_steps",
        "with_cp",
    )
)
"""Settings of a backbone that do not change the function of its weights."""
SIZES = ("arch", "depth", "stem", "base_channels", "num_stages")


TRAINING_ONLY = ("surrogate", "detach_reset")
"""Settings of a neuron that do not change its output."""
ACTIVATIONS = {LIFParameters: "MixedLIF", ILIFParameters: "MixedILIF"}
"""Names of neurons by their settings."""


def stored_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a stored config that decide the function."""
    return {name: value for name, value in stored.items() if name not in FREE}


def family_of(stored: Mapping[str, Any] | None) -> str | None:
    """Return the name of our backbone class in a stored config, or None."""
    name = str((stored or {}).get("type", "")).rpartition(".")[2]
    return name if name in FAMILIES else None


def function_of(family: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide a backbone's output in addition to tensors."""
    with torch.device("meta"):
        structure = dict(build(family, settings).structure)
    neuron = structure.pop("neuron")
    fields = neuron._asdict() if hasattr(neuron, "_asdict") else {}
    structure["activation"] = ACTIVATIONS.get(type(neuron)) or neuron["type"]
    for name, value in fields.items():
        if name not in TRAINING_ONLY:
            structure[f"the neuron's {name}"] = value
    return structure


def differences(
    family: str, settings: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, str]:
    """Find where a backbone computes something else than a layout's.

    Args:
        family: Name of our backbone class.
        settings: Settings of the backbone.
        theirs: Settings of the layout; defaults replace missing ones.

    Returns:
        Phrases by name.
    """
    sizes = {name: settings[name] for name in SIZES if name in settings}
    wanted = function_of(family, {**sizes, **theirs})
    return {
        name: f"{name} is {value!r}, theirs {wanted[name]!r}"
        for name, value in function_of(family, settings).items()
        if value != wanted[name]
    }


def build(family: str, settings: Mapping[str, Any]) -> Any:
    """Build our backbone; unknown heads are 1, which does not change its tensors.

    Raises:
        ValueError: If a setting is unknown or has an invalid value.
    """
    asked = FAMILIES[family].heads == "asked"
    if asked and isinstance(arch := settings.get("arch"), dict):
        settings = {**settings, "arch": {"num_heads": 1, **arch}}
    try:
        return FAMILIES[family].kind(**settings)
    except TypeError as cause:
        raise ValueError(f"no {family} has these settings: {cause}") from cause


def find_settings(family: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Find the settings with which our backbone has the tensors of ``state``.

    Raises:
        ValueError: If there are none; names the missing tensor.
    """
    try:
        return FAMILIES[family].find(state)
    except KeyError as missing:
        raise ValueError(
            f"{family} needs the tensor {missing}, which is missing"
        ) from None


def expected_shapes(family: str, settings: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Return the shapes of the backbone's tensors by name."""
    with torch.device("meta"):
        state = build(family, settings).state_dict()
    return {name: tensor.shape for name, tensor in state.items()}
