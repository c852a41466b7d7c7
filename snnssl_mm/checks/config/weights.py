"""Whether the weights that a config starts from are there, and fit its backbone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snnssl_mm import zoo
from snnssl_mm.checkpoints import (
    find_prefix,
    find_state_dict,
    match_backbone,
    read_checkpoint,
)
from snnssl_mm.checks.config.problem import Problem, error, warning
from snnssl_mm.models.backbone import SpikingBackbone


def check_weights(cfg: Mapping[str, Any], model: Any, files: bool) -> list[Problem]:
    """Look at ``init_cfg``, ``pretrained`` and ``load_from``.

    Args:
        cfg: The config.
        model: What it builds; None leaves the tensors out.
        files: Whether files that are not there are a problem.
    """
    return [*backbone_weights(cfg, model, files), *whole_weights(cfg, model, files)]


def backbone_weights(
    cfg: Mapping[str, Any], model: Any, files: bool
) -> Iterator[Problem]:
    """Problems of the backbone's pretrained weights."""
    settings = cfg.get("model") or {}
    backbone = getattr(model, "backbone", None)
    kind = str((settings.get("backbone") or {}).get("type"))
    if settings.get("pretrained") and kind.startswith("snnssl_mm."):
        text = (
            f"{settings['pretrained']!r} is handed to the backbone, and "
            f"{kind} takes no such argument; write pretrained=None "
            "and --pretrained FILE or backbone.init_cfg"
        )
        yield error("model.pretrained", text)
    init_cfg = (settings.get("backbone") or {}).get("init_cfg")
    key = "model.backbone.init_cfg"
    if not isinstance(init_cfg, Mapping) or "checkpoint" not in init_cfg:
        return
    path, ours = init_cfg["checkpoint"], "BackboneInit" in str(init_cfg.get("type"))
    if not path:
        yield warning(f"{key}.checkpoint", "empty; pass the file with --pretrained")
    elif "://" in path or path in zoo.entries():
        if "://" in path and isinstance(backbone, SpikingBackbone) and not ours:
            text = f"{path} cannot be looked at; BackboneInit stops if it does not fit"
            yield warning(f"{key}.checkpoint", text)
    elif not Path(path).is_file():
        if files:
            yield error(f"{key}.checkpoint", f"{path} does not exist; check the path")
    elif backbone is not None:
        yield from fitting(init_cfg, key, backbone, ours)


def fitting(
    init_cfg: Mapping[str, Any], key: str, backbone: Any, ours: bool
) -> Iterator[Problem]:
    """Problems of a checkpoint that is there."""
    path = init_cfg["checkpoint"]
    try:
        if ours:
            match_backbone(backbone, path, init_cfg.get("strict", True))
            return
        state_dict = find_state_dict(read_checkpoint(path))
    except (ValueError, OSError) as cause:
        yield error(key, str(cause))
        return
    names = set(backbone.state_dict())
    prefix = find_prefix(state_dict, names).removesuffix(".")
    given = (init_cfg.get("prefix") or "").removesuffix(".")
    if not any(f"{prefix}.{name}".lstrip(".") in state_dict for name in names):
        yield error(key, f"{path} has no tensor of {type(backbone).__name__}")
    elif given != prefix:
        text = (
            f"{given!r}, but the tensors of {path} begin with {prefix!r}: none would "
            f"be loaded, in silence; write prefix={prefix + '.'!r}, or "
            "type='snnssl_mm.BackboneInit', which finds it"
        )
        yield error(f"{key}.prefix", text)


def whole_weights(cfg: Mapping[str, Any], model: Any, files: bool) -> Iterator[Problem]:
    """Problems of ``load_from``, which mmengine loads as far as it fits."""
    path = cfg.get("load_from")
    if not path or "://" in path:
        return
    if not Path(path).is_file():
        if files:
            yield error("load_from", f"{path} does not exist; check the path")
        return
    try:
        state_dict = find_state_dict(read_checkpoint(path))
    except (ValueError, OSError) as cause:
        yield error("load_from", str(cause))
        return
    if model is not None and not set(state_dict) & set(model.state_dict()):
        text = (
            f"no tensor of {path} has a name of this model, so none would be loaded, "
            "in silence; a backbone's weights are loaded by --pretrained"
        )
        yield error("load_from", text)
