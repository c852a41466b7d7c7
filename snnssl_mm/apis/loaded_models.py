"""Loading of models for visualisation and analysis."""

from __future__ import annotations

import warnings
from typing import Any

from mmengine.config import Config

from snnssl_mm import compat
from snnssl_mm.analysis.images import NetworkImage, read_network_image
from snnssl_mm.checkpoints.loading import load_full_model
from snnssl_mm.checkpoints.preprocessing import preprocessor_settings
from snnssl_mm.checkpoints.read_once import files_kept
from snnssl_mm.models import load_backbone
from snnssl_mm.probing.probe_models import build_eval_model, warn_of_other_pixels


def load_pictured_model(
    cfg: Config, checkpoint: str, warn_of_head: bool = False
) -> Any:
    """Build a config's model and load the complete model or its backbone, strictly.

    Since the backbone suffices, a detector's config can be combined with the
    pretrained checkpoint that it starts from.

    Args:
        cfg: Config of pretraining, classification, detection or segmentation.
        checkpoint: Weights of the model or of its backbone.
        warn_of_head: Whether to warn that neck and head have random weights, if the
            checkpoint has only the backbone.

    Raises:
        ValueError: If the checkpoint fits neither the model nor its backbone.
    """
    compat.apply()
    model = build_eval_model(cfg)
    with files_kept():
        load_either(model, checkpoint, warn_of_head)
        warn_of_other_pixels(cfg, checkpoint)
    return model


def load_either(model: Any, checkpoint: str, warn_of_head: bool) -> None:
    """Load a checkpoint of the model or of its backbone; arguments as above."""
    try:
        load_full_model(model, checkpoint)
    except ValueError as misfit:
        try:
            load_backbone(model.backbone, checkpoint)
        except ValueError:
            raise misfit from None
        if warn_of_head:
            warnings.warn(
                f"{checkpoint} has weights only for the backbone of "
                f"{type(model).__name__}; neck and head have random weights",
                stacklevel=3,
            )


def load_backbone_and_image(
    cfg: Config, checkpoint: str, file: str, max_size: int = 640
) -> tuple[Any, NetworkImage]:
    """Load a backbone, and an image prepared for it.

    Args:
        cfg: Config of pretraining, classification, detection or segmentation.
        checkpoint: See :func:`load_pictured_model`.
        file: The image, of any size.
        max_size: Longest side in pixels; larger images are reduced to it.

    Raises:
        ValueError: If the weights do not fit or the file is not a readable image.
    """
    backbone = load_pictured_model(cfg, checkpoint).backbone
    divisor = getattr(backbone, "stride", 32)
    image = read_network_image(file, preprocessor_settings(cfg), divisor, max_size)
    return backbone, image
