"""Test of a pretraining config by one training step without data."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

from snnssl_mm import compat
from snnssl_mm.checks.data import silent
from snnssl_mm.testing.subject import require_finite


def train_one_step(config: str | Path, batch_size: int = 4) -> dict[str, float]:
    """Build the model and optimizer of a pretraining config, and train for one step.

    The two views are random images, so no dataset is needed.

    Args:
        config: File of a config of :class:`snnssl_mm.models.DualPathSSL`.
        batch_size: Images in the batch.

    Returns:
        The logged values: ``loss`` and its parts.

    Raises:
        AssertionError: If a value is NaN or inf.
    """
    compat.apply()  # lets mmengine find `snnssl_mm::...` in the config
    cfg = Config.fromfile(config)
    # mmengine logs a line for every parameter's options.
    with DefaultScope.overwrite_default_scope(cfg.default_scope), silent():
        model = MODELS.build(cfg.model)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    backbone = model.backbone
    side = max(2 * backbone.stride, 32)
    views = list(torch.rand(2, batch_size, backbone.in_channels, side, side))
    batch = {"inputs": views, "data_samples": None}
    logged = model.train().train_step(batch, optimizer)
    for name, value in logged.items():
        require_finite([torch.as_tensor(value)], f"{name} of the training step")
    return {name: float(torch.as_tensor(v).detach()) for name, v in logged.items()}
