"""Models to evaluate, from a checkpoint or with random weights."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger, print_log
from mmengine.registry import MODELS, init_default_scope

from snnssl_mm.checkpoints.loading import (
    load_backbone,
    load_full_model,
    read_checkpoint,
)
from snnssl_mm.checkpoints.preprocessing import (
    model_settings,
    preprocessing_differences,
)
from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.checkpoints.read_once import files_kept
from snnssl_mm.checkpoints.stored_config import stored_config
from snnssl_mm.models.clips import refuse_ambiguous_clips

Model = Any  # a DualPathSSL; nn.Module hides the types of its children


def build_eval_model(cfg: Config) -> Model:
    """Build a config's model and data preprocessor on the device, in eval mode.

    Raises:
        ValueError: If the config has no model.
    """
    if not cfg.get("model"):
        raise ValueError(
            f"{cfg.filename or 'the config'} has no model; expected one of "
            "pretraining, classification, detection or segmentation"
        )
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    model: Model = MODELS.build(model_settings(cfg)).to(get_device()).eval()
    refuse_ambiguous_clips(model)
    return model


def load_trained_model(cfg: Config, checkpoint: str) -> Model:
    """Build a config's model with the weights of a checkpoint (strict).

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    model = build_eval_model(cfg)
    with files_kept():
        load_full_model(model, checkpoint)
        warn_of_other_pixels(cfg, checkpoint)
    return model


def load_probed_model(cfg: Config, checkpoint: str) -> Model:
    """Build a config's model with the backbone of a checkpoint (strict).

    Probes use only the backbone, so the checkpoint needs no projector.

    Raises:
        ValueError: If a tensor of the backbone is missing, left over or of another
            shape.
    """
    model = build_eval_model(cfg)
    with files_kept():
        load_backbone(model.backbone, checkpoint)
        warn_of_other_pixels(cfg, checkpoint)
    return model


def warn_of_other_pixels(cfg: Config, checkpoint: str) -> None:
    """Warn if the config prepares images differently from the checkpoint's training."""
    trained = stored_config(read_checkpoint(checkpoint))
    if differing := preprocessing_differences(cfg, trained):
        print_log(
            f"{checkpoint} was trained on images with {', '.join(differing)}; results "
            "on differently prepared images are misleading: set data_preprocessor "
            "(and how images are loaded) as in that training",
            logger="current",
            level=logging.WARNING,
        )


def require_backbone(cfg: Config) -> None:
    """Refuse a config whose model has no backbone to evaluate.

    Raises:
        ValueError: If the model has no backbone.
    """
    if not (cfg.get("model") or {}).get("backbone"):
        raise ValueError(
            f"{cfg.filename} has no model with a backbone, which a probe needs; "
            "expected a pretraining config, such as configs/selfsup/spikformer_ctl.py"
        )


def random_init_model(cfg: Config) -> Model:
    """Build the config's model with random weights from the run's seed.

    The global random states are restored.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.init_cfg = None  # may name pretrained weights
    with random_states_kept(cfg.get("randomness", {}).get("seed") or 0):
        model = build_eval_model(cfg)
        with silent_terminal():
            model.init_weights()
    return model


@contextlib.contextmanager
def silent_terminal() -> Iterator[None]:
    """Mute mmengine's logger, which prints several lines per initialised parameter."""
    logger = MMLogger.get_current_instance()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
