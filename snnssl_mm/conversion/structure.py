"""Backbone settings inferred from the tensors of a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snnssl_mm.models import Spikformer, SpikingResNet
from snnssl_mm.models.spikformer import ARCHS
from snnssl_mm.models.spiking_resnet import BOTTLENECKED, DEPTHS, STEMS

BACKBONES = {"Spikformer": Spikformer, "SpikingResNet": SpikingResNet}


def count_children(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the modules ``prefix.0``, ``prefix.1``, ..."""
    starts = {
        name.removeprefix(f"{prefix}.").partition(".")[0]
        for name in state
        if name.startswith(f"{prefix}.")
    }
    return len(starts)


def spikformer_settings(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer a Spikformer's ``arch``; its heads are known for published sizes only."""
    dims = len(state["stem.stages.3.conv.weight"])
    depth = count_children(state, "blocks")
    ratio = len(state["blocks.0.mlp.0.conv.weight"]) / dims
    for name, arch in ARCHS.items():
        if (arch["embed_dims"], arch["depth"], 4) == (dims, depth, ratio):
            return {"arch": name}
    return {"arch": dict(embed_dims=dims, depth=depth, mlp_ratio=ratio)}


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
    if width != 64:
        settings["base_channels"] = width
    if len(stages) != 4:
        settings["num_stages"] = len(stages)
    if not bottleneck and "layer1.0.downsample.0.weight" in state:
        settings["shortcut"] = "ms"  # the only one whose first stage has a stride
    return settings


def add_given(settings: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Add settings given by the user, which override a layout's.

    Args:
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
    arch = settings.get("arch")
    if arch is None:
        raise ValueError("num_heads are a Spikformer's, this is a SpikingResNet")
    published = ARCHS[arch] if isinstance(arch, str) else {}
    if heads == published.get("num_heads"):
        return settings
    sizes = published or arch
    return {**settings, "arch": {**sizes, "num_heads": heads}}


FREE = frozenset(
    (
        "type",
        "bn",
        "frozen_stages",
        "init_cfg",
        "norm_eval",
        "out_indices",
        "time_readout",
        "time_steps",
        "with_cp",
    )
)
"""Settings of a backbone that do not change the function of its weights."""
SIZES = ("arch", "depth", "stem", "base_channels", "num_stages")


def stored_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a stored config that decide the function."""
    return {name: value for name, value in stored.items() if name not in FREE}


def family_of(stored: Mapping[str, Any] | None) -> str | None:
    """Return the name of our backbone class in a stored config, or None."""
    name = str((stored or {}).get("type", "")).rpartition(".")[2]
    return name if name in BACKBONES else None


def function_of(family: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide a backbone's output in addition to tensors."""
    with torch.device("meta"):
        structure = dict(build(family, settings).structure)
    neuron = structure.pop("neuron")
    spiking = hasattr(neuron, "tau")
    structure["activation"] = "MixedLIF" if spiking else neuron["type"]
    for name in ("tau", "v_threshold", "v_reset", "decay_input"):
        structure[f"the neuron's {name}"] = getattr(neuron, name, None)
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
    if isinstance(arch := settings.get("arch"), dict):
        settings = {**settings, "arch": {"num_heads": 1, **arch}}
    try:
        return BACKBONES[family](**settings)
    except TypeError as cause:
        raise ValueError(f"no {family} has these settings: {cause}") from cause


def find_settings(family: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Find the settings with which our backbone has the tensors of ``state``.

    Raises:
        ValueError: If there are none; names the missing tensor.
    """
    find = spikformer_settings if family == "Spikformer" else resnet_settings
    try:
        return find(state)
    except KeyError as missing:
        raise ValueError(
            f"{family} needs the tensor {missing}, which is missing"
        ) from None


def expected_shapes(family: str, settings: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Return the shapes of the backbone's tensors by name."""
    with torch.device("meta"):
        state = build(family, settings).state_dict()
    return {name: tensor.shape for name, tensor in state.items()}
