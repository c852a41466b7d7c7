"""Models to be looked at, from a config and a checkpoint."""

from __future__ import annotations

import warnings
from typing import Any

from mmengine.config import Config

from snnssl_mm import compat
from snnssl_mm.analysis.images import NetworkImage, read_network_image
from snnssl_mm.checkpoints.loading import load_whole_model
from snnssl_mm.checkpoints.preprocessing import preprocessor_settings
from snnssl_mm.checkpoints.read_once import files_kept
from snnssl_mm.models import load_backbone
from snnssl_mm.probing.probe_models import build_eval_model, warn_of_other_pixels


def load_pictured_model(cfg: Config, checkpoint: str, whole: bool = False) -> Any:
    """Build a config's model, of which the backbone will be looked at.

    A checkpoint of the whole model is loaded as one; of any other, the backbone must
    fit. So a detector's config goes with the pretraining that it starts from, too.

    Args:
        cfg: Config of pretraining, classification, detection or segmentation.
        checkpoint: Its weights, or a backbone's.
        whole: Whether what follows the backbone counts as well; then a warning says
            that it has random weights, if the checkpoint has none for it.

    Raises:
        ValueError: If neither fits.
    """
    compat.apply()
    model = build_eval_model(cfg)
    with files_kept():
        load_either(model, checkpoint, whole)
        warn_of_other_pixels(cfg, checkpoint)
    return model


def load_either(model: Any, checkpoint: str, whole: bool) -> None:
    """Load a checkpoint of the model or of its backbone; arguments as above."""
    try:
        load_whole_model(model, checkpoint)
    except ValueError as misfit:
        try:
            load_backbone(model.backbone, checkpoint)
        except ValueError:
            raise misfit from None
        if whole:
            warnings.warn(
                f"{checkpoint} has no weights for what follows the backbone of "
                f"{type(model).__name__}; these are random",
                stacklevel=3,
            )


def load_backbone_and_image(
    cfg: Config, checkpoint: str, file: str, max_size: int = 640
) -> tuple[Any, NetworkImage]:
    """Load a backbone, and an image as it would be prepared for it.

    Args:
        cfg: Config of pretraining, classification, detection or segmentation.
        checkpoint: See :func:`load_pictured_model`.
        file: The image, of any size.
        max_size: A longer side, in pixels, is reduced to this.

    Raises:
        ValueError: If the weights do not fit or the file is no readable image.
    """
    backbone = load_pictured_model(cfg, checkpoint).backbone
    divisor = getattr(backbone, "stride", 32)
    image = read_network_image(file, preprocessor_settings(cfg), divisor, max_size)
    return backbone, image
