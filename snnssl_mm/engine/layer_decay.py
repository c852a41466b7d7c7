"""Layer-wise learning-rate decay for classifiers, detectors and segmentors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from snnssl_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """Smaller learning rates for earlier layers of the backbone.

    A parameter at depth l of n (0: the stem, then the blocks, n - 1: everything after
    the backbone) gets the learning rate base_lr * rate^(n - 1 - l). mmpretrain's
    constructor supports its own models only; this one supports any model whose
    ``backbone`` has ``get_layer_depth``. In a config::

        optim_wrapper = dict(
            constructor='snnssl_mm.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.75, norm_decay_mult=0.0),
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))

    Raises:
        ValueError: If the backbone has no ``get_layer_depth``, if the optimizer has no
            ``weight_decay``, or if ``custom_keys`` sets an ``lr_mult``.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a group for each trainable parameter of ``module`` to ``params``."""
        if get_layer_depth is not None:
            super().add_params(params, module, prefix, get_layer_depth, **kwargs)
            return
        self._require_options()
        super().add_params(params, module, prefix, depth_in(module), **kwargs)
        # A module used twice, such as a shared head, is added twice.
        params[:] = {id(group["params"][0]): group for group in params}.values()

    def _require_options(self) -> None:
        if self.base_wd is None:
            raise ValueError(
                "layer-wise learning-rate decay expects weight_decay in the optimizer, "
                "got none; set weight_decay=0.0 for none"
            )
        for key, options in self.paramwise_cfg.get("custom_keys", {}).items():
            if "lr_mult" in options:
                raise ValueError(
                    f"custom_keys[{key!r}] has lr_mult, which layer-wise decay would "
                    "ignore, since it sets learning rates by depth; use decay_mult only"
                )


def depth_in(model: nn.Module) -> Callable[[str], tuple[int, int]]:
    """Return a function that maps a parameter's name to its depth in ``model``."""
    backbone: Any = getattr(model, "backbone", None)
    if not hasattr(backbone, "get_layer_depth"):
        found = "no backbone" if backbone is None else type(backbone).__name__
        raise ValueError(
            "layer-wise learning-rate decay needs a model whose backbone has "
            f"get_layer_depth, such as snnssl_mm.Spikformer; {type(model).__name__} "
            f"has {found}"
        )

    def depth(param_name: str) -> tuple[int, int]:
        result: tuple[int, int] = backbone.get_layer_depth(param_name, "backbone.")
        return result

    return depth
