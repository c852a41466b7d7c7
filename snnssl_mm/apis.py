"""Models with weights, from a config and a checkpoint."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from snnssl_mm.engine.probes import build_model
from snnssl_mm.models import load_backbone, load_whole_model


def load_model(cfg: Config, checkpoint: str) -> Any:
    """Build a config's model with the weights of a checkpoint; all must fit.

    Raises:
        ValueError: If the file is no checkpoint or does not fit the model.
    """
    model = build_model(cfg)
    load_whole_model(model, checkpoint)
    return model


def load_pictured_model(cfg: Config, checkpoint: str) -> Any:
    """Build a config's model, of which only the backbone will be looked at.

    A checkpoint of the whole model is loaded as one; of any other, the backbone must
    fit. So a detector's config goes with the pretraining that it starts from, too.

    Raises:
        ValueError: If neither fits.
    """
    model = build_model(cfg)
    try:
        load_whole_model(model, checkpoint)
    except ValueError as misfit:
        try:
            load_backbone(model.backbone, checkpoint)
        except Exception:
            raise misfit from None
    return model
