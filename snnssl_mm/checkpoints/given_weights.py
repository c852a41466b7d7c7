"""Weights that a config starts from, compared with the model before training.

These are ``init_cfg`` of any module, by ``BackboneInit`` (which ``--pretrained`` sets)
or mmengine's ``Pretrained`` (which stock models make of ``pretrained=``), and
``load_from``. mmengine loads what fits and trains with the rest as it is.
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
    below,
    find_prefix,
    find_state_dict,
    match_backbone,
    misfit,
    read_checkpoint,
)
from snnssl_mm.checkpoints.preprocessing import preprocessing_differences
from snnssl_mm.checkpoints.stored_config import (
    stored_config,
    structural_differences,
    type_name,
)
from snnssl_mm.checkpoints.tensor_match import TensorMatch, first, match_tensors

OURS, STOCK, LOAD_FROM = "BackboneInit", "Pretrained", "load_from"
ANYWAY = (
    "load the backbone by init_cfg=dict(type='snnssl_mm.BackboneInit', strict=False) "
    "to take what fits"
)
LIKE_THEN = f"Use the config that it was trained with, or {ANYWAY}"


class Given(NamedTuple):
    """Weights for a module.

    Attributes:
        way: ``'BackboneInit'``, ``'Pretrained'`` or ``'load_from'``.
        key: Where the config gives them.
        target: The module's name in the model; empty for the model itself.
        path: The checkpoint.
        prefix: Of names in the checkpoint, as ``Pretrained`` takes it.
        strict: As ``BackboneInit`` takes it.
    """

    way: str
    key: str
    target: str
    path: str
    prefix: str | None = None
    strict: bool = True

    @property
    def remote(self) -> bool:
        """Whether the file is not on this machine, or the loader's own secret."""
        return "://" in self.path and not self.path.startswith(zoo.SCHEME)


class Finding(NamedTuple):
    """What looking at given weights has found.

    Attributes:
        problem: Why training must not start from them, or None.
        notes: What a user should know besides.
        tensors: What the model's tensors must equal once they are loaded.
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


def examine(given: Given, model: nn.Module, cfg: Mapping[str, Any]) -> Finding:
    """Compare given weights with the model, by tensors and by what no tensor shows.

    Args:
        given: The weights.
        model: That the config builds; its tensors may be without memory.
        cfg: The config.
    """
    module = model.get_submodule(given.target)
    try:
        if given.way == OURS:
            return examine_ours(given, module, cfg)
        if "://" not in given.path and not Path(given.path).expanduser().is_file():
            text = zoo.does_not_exist(given.path)
            if given.path in zoo.entries():
                text = f"no file is called so; write '{zoo.SCHEME}{given.path}'"
            return Finding(text, [], {})
        checkpoint = read_checkpoint(given.path)
    except (ValueError, OSError) as error:
        return Finding(str(error), [], {})
    return examine_stock(given, module, cfg, checkpoint)


def examine_ours(given: Given, module: nn.Module, cfg: Mapping[str, Any]) -> Finding:
    """Compare as ``BackboneInit`` will, and the preprocessing."""
    match = match_backbone(module, given.path, given.strict)
    differing = preprocessing_differences(cfg, trained_config(given))
    tensors = {
        ".".join(filter(None, (given.target, name))): tensor
        for name, tensor in match.tensors.loadable.items()
    }
    if not differing:
        return Finding(None, [], tensors)
    text = other_pixels(given, differing)
    if given.strict:
        return Finding(f"{text}, or {given.key}.strict=False", [], {})
    return Finding(None, [text], tensors)


def trained_config(given: Given) -> dict[str, Any]:
    """Config in a checkpoint."""
    return stored_config(read_checkpoint(given.path))


def other_pixels(given: Given, differing: list[str]) -> str:
    """Say that images come to the network in another way than in its training."""
    return (
        f"{given.path} was trained on images with {', '.join(differing)}; set "
        "data_preprocessor (and how images are loaded) as in that training"
    )


def offered_tensors(given: Given, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tensors by the names under which mmengine hands them to the module."""
    state_dict = checkpoint.get("state_dict", checkpoint)
    if given.prefix is not None:
        return below(state_dict, given.prefix.removesuffix(".") + ".")
    offered = OrderedDict(
        (re.sub(r"^module\.", "", name), value) for name, value in state_dict.items()
    )
    metadata = getattr(state_dict, "_metadata", OrderedDict())
    offered._metadata = metadata  # type: ignore[attr-defined]
    return offered


def backbones(given: Given, module: nn.Module) -> list[str]:
    """Names, in the module, of what must be complete: its backbones, or itself."""
    names: list[str] = []
    for name, child in module.named_modules():
        inside = any(f"{name}.".startswith(f"{outer}.") for outer in names if outer)
        last = (name or given.target).rpartition(".")[2]
        if not inside and (last == "backbone" or hasattr(child, "structure")):
            names.append(name)
            if not name:
                break
    return names or [""] * bool(given.target)


def loads_by_itself(module: nn.Module) -> bool:
    """Whether a module's ``init_weights`` reads and converts its checkpoint itself."""
    code = getattr(getattr(type(module), "init_weights", None), "__code__", None)
    return code is not None and any("load" in name for name in code.co_names)


def examine_stock(
    given: Given, module: nn.Module, cfg: Mapping[str, Any], checkpoint: Any
) -> Finding:
    """Compare as mmengine will load: a backbone whole, of other modules what fits."""
    if loads_by_itself(module):
        return Finding(None, [f"{given.path} is converted by the model, unseen"], {})
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
            return Finding(f"{misfit(given.path, backbone, part)}. {cure}", [], {})
        if not ours:  # its function is not ours to judge
            continue
        differing = structural_differences(backbone, checkpoint)
        if differing:
            text = f"{given.path} was trained with {first(differing)}"
            return Finding(f"{text}. {LIKE_THEN}", [], {})
        differing = preprocessing_differences(cfg, stored_config(checkpoint))
        if differing:
            return Finding(f"{other_pixels(given, differing)}, or {ANYWAY}", [], {})
        expected |= {
            ".".join(filter(None, (given.target, name))): tensor
            for name, tensor in part.loadable.items()
        }
    if tensors.empty:
        text = f"no tensor of {given.path} has a name and shape of this model"
        return Finding(f"{text}. {LIKE_THEN}", [], {})
    if tensors.problems:
        text = ", ".join([*tensors.problems.values()][:3])
        notes.append(
            f"{len(tensors.problems)} of {len(tensors.names)} tensors keep their "
            f"initial values, as {given.path} has none for them: {text}"
        )
    return Finding(None, notes, expected)


def is_extended(
    module: nn.Module, part: TensorMatch, offered: Mapping[str, Any]
) -> bool:
    """Whether a network is that of the checkpoint with layers of another kind added.

    These are deformable convolutions' offsets, plugins, or a norm for each map: the
    checkpoint has no layer of such a name in any block, or they are only norms. Where
    it has, blocks are missing.
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
    """Tell what to do about weights that do not fit a backbone.

    Args:
        backbone: The backbone.
        part: How it fits.
        checkpoint: Where the weights are from.
        by_name: Whether ``prefix`` of its own ``init_cfg`` says where they are.
    """
    state_dict = find_state_dict(checkpoint)
    prefix = find_prefix(state_dict, set(backbone.state_dict()))
    other = match_tensors(backbone, below(state_dict, prefix)).part("")
    if other.loaded <= part.loaded:
        return LIKE_THEN
    finds = "type='snnssl_mm.BackboneInit', which finds it"
    direct = state_dict is checkpoint.get("state_dict", checkpoint)
    if by_name and direct:
        write = f"write prefix={prefix!r}" if prefix else "leave prefix out"
        return f"Its tensors begin with {prefix!r}: {write}, or {finds}"
    return (
        f"Its backbone's tensors begin with {prefix!r}: give it by --pretrained, or by "
        f"init_cfg of the backbone with {finds}"
    )
