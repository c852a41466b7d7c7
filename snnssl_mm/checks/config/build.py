"""The model of a config, without a weight in memory."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from snnssl_mm.checkpoints.preprocessing import model_settings
from snnssl_mm.checks.config.problem import Problem, error


def build_unfilled(cfg: Config) -> tuple[Any, list[Problem]]:
    """Build the model, on torch's meta device where that works.

    Tensors have no memory there, nor values, which a few constructors ask for.

    Returns:
        The model, None if it cannot be built, and then the reason.
    """
    settings = model_settings(cfg)
    if str((settings.get("backbone") or {}).get("type")).startswith("snnssl_mm."):
        settings.pop("pretrained", None)  # not taken; check_weights says so
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                return MODELS.build(copy.deepcopy(settings)).eval(), []
        except Exception as cause:  # constructors raise anything
            reason = cause
    return None, [error("model", f"cannot be built: {reason}")]
