"""Initialiser that loads a pretrained backbone from mmengine's ``init_cfg``."""

from __future__ import annotations

from typing import Any

from torch import nn

from snnssl_mm.checkpoints.loading import load_backbone
from snnssl_mm.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class BackboneInit:
    """Initialiser ``init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint=...)``.

    Args:
        checkpoint: File or URL; see
            :func:`snnssl_mm.checkpoints.loading.load_backbone`.
        strict: Whether every tensor of the module must be found.
    """

    def __init__(self, checkpoint: str, strict: bool = True) -> None:
        if not checkpoint:
            raise ValueError(
                "BackboneInit needs the checkpoint's path, got ''; pass it with "
                "--pretrained FILE or set model.backbone.init_cfg=None"
            )
        self.checkpoint = checkpoint
        self.strict = strict

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into ``module``."""
        # mmengine initialises children after their parent, which would overwrite the
        # loaded weights; it skips children that are already initialised.
        child: Any
        for child in module.children():
            if hasattr(child, "init_weights") and not getattr(child, "is_init", False):
                child.init_weights()
        load_backbone(module, self.checkpoint, self.strict)
