"""Building of a config's model on the meta device."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from snnssl_mm.checkpoints.preprocessing import model_settings
from snnssl_mm.checks.config.problem import Problem, error


def build_unfilled(cfg: Config) -> tuple[Any, list[Problem]]:
    """Build the model, on torch's meta device if possible.

    Tensors on the meta device have no memory and no values, which a few constructors
    read; those models are built on the CPU.

    Returns:
        The model and no problems, or None and the reason why it cannot be built.
    """
    settings = model_settings(cfg)
    if str((settings.get("backbone") or {}).get("type")).startswith("snnssl_mm."):
        settings.pop("pretrained", None)  # not accepted; check_weights reports it
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                return MODELS.build(copy.deepcopy(settings)).eval(), []
        except Exception as cause:  # constructors raise anything
            reason = cause
    return None, [error("model", f"cannot be built: {reason}")]
