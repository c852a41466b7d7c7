"""Comparison of the weights that a config starts from with its model, before training.

Weights are given by the ``init_cfg`` of any module (``BackboneInit``, which
``--pretrained`` sets, or mmengine's ``Pretrained``, which stock models make of
``pretrained=``) and by ``load_from``. mmengine loads what fits and leaves the rest at
its initial values without an error.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from snnssl_mm.checkpoints import zoo
from snnssl_mm.checkpoints.loading import (
    find_prefix,
    find_state_dict,
    match_backbone,
    mismatch_message,
    read_checkpoint,
    without_prefix,
)
from snnssl_mm.checkpoints.preprocessing import preprocessing_differences
from snnssl_mm.checkpoints.stored_config import (
    stored_config,
    structural_differences,
    type_name,
)
from snnssl_mm.checkpoints.tensor_match import TensorMatch, first, match_tensors

OURS, STOCK, LOAD_FROM = "BackboneInit", "Pretrained", "load_from"
NOT_STRICT = (
    "load the backbone by init_cfg=dict(type='snnssl_mm.BackboneInit', strict=False) "
    "to take what fits"
)
SAME_CONFIG = f"Use the config that it was trained with, or {NOT_STRICT}"


class Given(NamedTuple):
    """Weights for a module.

    Attributes:
        way: ``'BackboneInit'``, ``'Pretrained'`` or ``'load_from'``.
        key: Config key that gives them.
        target: The module's name in the model; empty for the model itself.
        path: The checkpoint.
        prefix: Prefix of the names in the checkpoint, an option of ``Pretrained``.
        strict: Whether all tensors must fit, an option of ``BackboneInit``.
    """

    way: str
    key: str
    target: str
    path: str
    prefix: str | None = None
    strict: bool = True

    @property
    def remote(self) -> bool:
        """Whether the path is a URL, or a name that only mmengine's loader resolves."""
        return zoo.is_remote(self.path)


class Comparison(NamedTuple):
    """Result of comparing given weights with the model.

    Attributes:
        problem: Why training must not start from them, or None.
        notes: Further messages for the user.
        tensors: Values that the model's tensors must have after loading.
    """

    problem: str | None
    notes: list[str]
    tensors: Mapping[str, Tensor]


def given_weights(cfg: Mapping[str, Any], model: nn.Module) -> list[Given]:
    """List the weights that a config starts from, in the order of their loading."""
    found = []
    for name, module in reversed(list(model.named_modules())):
        init_cfg = getattr(module, "init_cfg", None)
        for one in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
            if not isinstance(one, Mapping) or not one.get("checkpoint"):
                continue
            kind = type_name(one.get("type"))
            key = ".".join(filter(None, ("model", name, "init_cfg")))
            if kind in (OURS, STOCK, "PretrainedInit"):
                way, path = OURS if kind == OURS else STOCK, str(one["checkpoint"])
                strict = one.get("strict", True)
                found.append(Given(way, key, name, path, one.get("prefix"), strict))
    if cfg.get("load_from") and not cfg.get("resume"):
        found.append(Given(LOAD_FROM, LOAD_FROM, "", str(cfg["load_from"])))
    return found


def compare_weights(
    given: Given, model: nn.Module, cfg: Mapping[str, Any]
) -> Comparison:
    """Compare given weights with the model: tensors, structure and preprocessing.

    Args:
        given: The weights.
        model: Model of the config; its tensors may be on the meta device.
        cfg: The config.
    """
    module = model.get_submodule(given.target)
    try:
        if given.way == OURS:
            return compare_backbone_init(given, module, cfg)
        if "://" not in given.path and not Path(given.path).expanduser().is_file():
            text = zoo.does_not_exist(given.path)
            if zoo.is_name(given.path):
                text = (
                    f"{given.path} does not exist; for the zoo's model write "
                    f"'{zoo.SCHEME}{given.path}'"
                )
            return Comparison(text, [], {})
        checkpoint = read_checkpoint(given.path)
    except (ValueError, OSError) as error:
        return Comparison(str(error), [], {})
    return compare_stock(given, module, cfg, checkpoint)


def compare_backbone_init(
    given: Given, module: nn.Module, cfg: Mapping[str, Any]
) -> Comparison:
    """Compare tensors as ``BackboneInit`` loads them, and the preprocessing."""
    match = match_backbone(module, given.path, given.strict)
    differing = preprocessing_differences(cfg, trained_config(given))
    tensors = {
        ".".join(filter(None, (given.target, name))): tensor
        for name, tensor in match.tensors.loadable.items()
    }
    if not differing:
        return Comparison(None, [], tensors)
    text = preprocessing_message(given, differing)
    if given.strict:
        return Comparison(f"{text}, or {given.key}.strict=False", [], {})
    return Comparison(None, [text], tensors)


def trained_config(given: Given) -> dict[str, Any]:
    """Return the config stored in a checkpoint."""
    return stored_config(read_checkpoint(given.path))


def preprocessing_message(given: Given, differing: list[str]) -> str:
    """Describe how the preprocessing differs from that of the training."""
    return (
        f"{given.path} was trained on images with {', '.join(differing)}; set "
        "data_preprocessor (and how images are loaded) as in that training"
    )


def offered_tensors(given: Given, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tensors by the names under which mmengine loads them."""
    state_dict = checkpoint.get("state_dict", checkpoint)
    if given.prefix is not None:
        return without_prefix(state_dict, given.prefix.removesuffix(".") + ".")
    offered = OrderedDict(
        (re.sub(r"^module\.", "", name), value) for name, value in state_dict.items()
    )
    metadata = getattr(state_dict, "_metadata", OrderedDict())
    offered._metadata = metadata  # type: ignore[attr-defined]
    return offered


def backbones(given: Given, module: nn.Module) -> list[str]:
    """Name the submodules that must be complete: the backbones, or the module itself.

    Returns:
        Names relative to the module.
    """
    names: list[str] = []
    for name, child in module.named_modules():
        inside = any(f"{name}.".startswith(f"{outer}.") for outer in names if outer)
        last = (name or given.target).rpartition(".")[2]
        if not inside and (last == "backbone" or hasattr(child, "structure")):
            names.append(name)
            if not name:
                break
    return names or ([""] if given.target else [])


def loads_by_itself(module: nn.Module) -> bool:
    """Whether a module's ``init_weights`` reads and converts its checkpoint itself."""
    code = getattr(getattr(type(module), "init_weights", None), "__code__", None)
    return code is not None and any("load" in name for name in code.co_names)


def compare_stock(
    given: Given, module: nn.Module, cfg: Mapping[str, Any], checkpoint: Any
) -> Comparison:
    """Compare as mmengine loads: backbones must be complete, other modules need not."""
    if loads_by_itself(module):
        note = f"{given.path} is not checked: the model converts it when it loads it"
        return Comparison(None, [note], {})
    offered = offered_tensors(given, checkpoint)
    tensors = match_tensors(module, offered)
    parts = backbones(given, module)
    notes: list[str] = []
    expected: dict[str, Tensor] = {}
    for name in parts:
        prefix = f"{name}." if name else ""
        part = tensors.part(prefix)
        backbone = module.get_submodule(name)
        ours = hasattr(backbone, "structure")
        if not part.fits and (ours or not is_extended(module, part, offered)):
            cure = remedy(backbone, part, checkpoint, given.way == STOCK and not name)
            return Comparison(
                f"{mismatch_message(given.path, backbone, part)}. {cure}", [], {}
            )
        if not ours:  # only our backbones declare their structure
            continue
        differing = structural_differences(backbone, checkpoint)
        if differing:
            text = f"{given.path} was trained with {first(differing)}"
            return Comparison(f"{text}. {SAME_CONFIG}", [], {})
        differing = preprocessing_differences(cfg, stored_config(checkpoint))
        if differing:
            return Comparison(
                f"{preprocessing_message(given, differing)}, or {NOT_STRICT}", [], {}
            )
        expected |= {
            ".".join(filter(None, (given.target, name))): tensor
            for name, tensor in part.loadable.items()
        }
    if tensors.empty:
        text = f"no tensor of {given.path} has a name and shape of this model"
        return Comparison(f"{text}. {SAME_CONFIG}", [], {})
    if tensors.problems:
        text = ", ".join([*tensors.problems.values()][:3])
        notes.append(
            f"{len(tensors.problems)} of {len(tensors.names)} tensors keep their "
            f"initial values, as {given.path} has none for them: {text}"
        )
    return Comparison(None, notes, expected)


def is_extended(
    module: nn.Module, part: TensorMatch, offered: Mapping[str, Any]
) -> bool:
    """Whether a network is the checkpoint's network plus layers of another kind.

    Such layers are offsets of deformable convolutions, plugins, or a norm per feature
    map: the checkpoint has no layer of that name in any block, or they are norms only.
    If the checkpoint has such layers in other blocks, blocks are missing.
    """
    if part.left_over or 2 * part.loaded < len(part.names):
        return False
    shapes = module.state_dict()
    kinds = {re.sub(r"\d+", "#", name) for name in part.loadable}
    return not any(
        name in offered
        or (shapes[name].dim() > 1 and re.sub(r"\d+", "#", name) in kinds)
        for name in part.problems
    )


def remedy(
    backbone: nn.Module, part: TensorMatch, checkpoint: Mapping[str, Any], by_name: bool
) -> str:
    """Suggest a fix for weights that do not fit a backbone.

    Args:
        backbone: The backbone.
        part: Which of its tensors fit.
        checkpoint: Checkpoint with the weights.
        by_name: Whether the weights are given by the backbone's own ``init_cfg``, so
            that its ``prefix`` can be set.
    """
    state_dict = find_state_dict(checkpoint)
    prefix = find_prefix(state_dict, set(backbone.state_dict()))
    other = match_tensors(backbone, without_prefix(state_dict, prefix)).part("")
    if other.loaded <= part.loaded:
        return SAME_CONFIG
    finds = "type='snnssl_mm.BackboneInit', which finds it"
    direct = state_dict is checkpoint.get("state_dict", checkpoint)
    if by_name and direct:
        write = f"write prefix={prefix!r}" if prefix else "leave prefix out"
        return f"Its tensors begin with {prefix!r}: {write}, or {finds}"
    return (
        f"Its backbone's tensors begin with {prefix!r}: give it by --pretrained, or by "
        f"init_cfg of the backbone with {finds}"
    )
