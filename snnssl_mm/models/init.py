"""Loading pretrained backbones that cannot fail silently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from snnssl_mm.registry import WEIGHT_INITIALIZERS


def find_state_dict(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Find the tensors in a checkpoint: bare, or under the usual keys."""
    for key in ("state_dict", "model", "ema_state_dict"):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


def find_prefix(state_dict: Mapping[str, Any], names: set[str]) -> str:
    """Prefix under which most of ``names`` are found in ``state_dict``."""
    probe = next(iter(sorted(names)))
    candidates = {
        key[: -len(probe)]
        for key in state_dict
        if re.search(rf"(^|\.){re.escape(probe)}$", key)
    }
    if not candidates:
        return ""
    return max(
        sorted(candidates, key=len),
        key=lambda prefix: sum(prefix + name in state_dict for name in names),
    )


def load_backbone(backbone: nn.Module, path: str, strict: bool = True) -> str:
    """Load a backbone's tensors from any checkpoint that holds them.

    A whole self-supervised checkpoint, a backbone-only file and a wrapped model
    (``module.``) all work: the prefix is found from the names.

    Args:
        backbone: The module to fill.
        path: File or URL.
        strict: Whether a missing tensor or one of another shape is an error.

    Returns:
        What was loaded, such as ``loaded 142/142 backbone tensors from FILE
        (prefix 'backbone.')``; it is logged too.

    Raises:
        ValueError: If ``strict`` and not every tensor fits; nothing is loaded then.
    """
    state_dict = find_state_dict(CheckpointLoader.load_checkpoint(path, "cpu"))
    wanted = backbone.state_dict()
    prefix = find_prefix(state_dict, set(wanted))
    fitting, problems = {}, []
    for name, tensor in wanted.items():
        found = state_dict.get(prefix + name)
        if found is None:
            problems.append(f"{name} is missing")
        elif found.shape != tensor.shape:
            shapes = f"{tuple(found.shape)} instead of {tuple(tensor.shape)}"
            problems.append(f"{name} has shape {shapes}")
        else:
            fitting[name] = found
    message = (
        f"loaded {len(fitting)}/{len(wanted)} backbone tensors from {path} "
        f"(prefix {prefix!r})"
    )
    if problems and strict:
        raise ValueError(
            f"{path} does not fit {type(backbone).__name__}: "
            f"{len(problems)} of {len(wanted)} tensors do not match, first: "
            f"{'; '.join(problems[:3])}. Use the config that the checkpoint was "
            "trained with, or strict=False to load what fits."
        )
    backbone.load_state_dict(fitting, strict=False)
    print_log(message, logger="current")
    return message


@WEIGHT_INITIALIZERS.register_module()
class BackboneInit:
    """Initialiser ``init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint=...)``.

    Args:
        checkpoint: File or URL; see :func:`load_backbone`.
        strict: Whether every tensor of the module must be found.
    """

    def __init__(self, checkpoint: str, strict: bool = True) -> None:
        if not checkpoint:
            raise ValueError("BackboneInit needs the checkpoint's path, got ''")
        self.checkpoint = checkpoint
        self.strict = strict

    def __call__(self, module: nn.Module) -> None:
        """Fill ``module``."""
        load_backbone(module, self.checkpoint, self.strict)
