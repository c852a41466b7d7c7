"""Config stored in a checkpoint, parsed without executing it."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def type_name(kind: Any) -> str:
    """Name the class of a config's ``type``: text with or without a scope, or a class.

    Example:
        >>> type_name("snnssl_mm.Spikformer"), type_name(nn.Conv2d)
        ('Spikformer', 'Conv2d')
    """
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]


def stored_config(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Read the config text that mmengine saves in ``meta``.

    The text is parsed as literals and ``dict(...)`` calls; nothing is executed.

    Returns:
        The settings that are literals; none if there is no such text.
    """
    meta = checkpoint.get("meta")
    text = meta.get("cfg") if isinstance(meta, Mapping) else None
    found: dict[str, Any] = {}
    if not isinstance(text, str):
        return found
    with contextlib.suppress(SyntaxError):
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign):
                with contextlib.suppress(ValueError):
                    for target in statement.targets:
                        if isinstance(target, ast.Name):
                            found[target.id] = literal(statement.value)
    return found


def stored_model(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find ``model`` in the config of a checkpoint."""
    model = stored_config(checkpoint).get("model")
    return model if isinstance(model, dict) else None


def stored_backbone(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find ``model.backbone`` in the config of a checkpoint."""
    backbone = (stored_model(checkpoint) or {}).get("backbone")
    return backbone if isinstance(backbone, dict) else None


def literal(node: ast.expr) -> Any:
    """Evaluate literals, ``inf``, ``nan`` and calls of ``dict``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id != "dict" or len(node.args) > 1:
            raise ValueError(f"{node.func.id}(...) is no literal")
        # mmengine writes dict({...}) where a key is no identifier.
        content = dict(literal(node.args[0])) if node.args else {}
        return content | {str(k.arg): literal(k.value) for k in node.keywords}
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
        return float(node.id)
    if isinstance(node, ast.Dict):
        keys = (ast.literal_eval(key) for key in node.keys if key is not None)
        return dict(zip(keys, map(literal, node.values), strict=True))
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [literal(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    return ast.literal_eval(node)


def structural_differences(
    backbone: nn.Module, checkpoint: Mapping[str, Any]
) -> list[str]:
    """Compare settings that the tensors do not show, such as strides or threshold.

    Args:
        backbone: Backbone with an attribute ``structure``: settings by name.
        checkpoint: Checkpoint, with the config of its training or without.

    Returns:
        One phrase per setting that differs; none if the backbone has no ``structure``,
        the checkpoint no config, or its backbone is of another class.
    """
    structure: Any = getattr(backbone, "structure", None)
    settings = stored_backbone(checkpoint)
    if structure is None or settings is None:
        return []
    kind = type(backbone)
    if type_name(settings.pop("type", "")) != kind.__name__:
        return []
    for name in ("init_cfg", "_scope_"):
        settings.pop(name, None)
    try:
        with torch.device("meta"):
            trained: Any = kind(**settings)
    except (TypeError, ValueError):  # of another version of this package
        return []
    return [
        phrase
        for name, value in structure.items()
        for phrase in differing(name, trained.structure[name], value)
    ]


def differing(name: str, then: Any, now: Any) -> list[str]:
    """Describe how a setting differs, a named tuple field by field."""
    if then == now:
        return []
    if type(then) is type(now) and hasattr(now, "_fields"):
        pairs = zip(now._fields, then, now, strict=True)
        return [p for key, a, b in pairs for p in differing(f"{name}.{key}", a, b)]
    return [f"{name}={then!r} instead of {now!r}"]
