"""Proof, before the first step, that training starts from the pretrained weights."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch import Tensor

from snnssl_mm.checkpoints import match_backbone
from snnssl_mm.engine.whole_model import whole_model
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class PretrainedCheckHook(Hook):
    """Compare the backbone with its checkpoint: max |w_loaded - w_checkpoint| = 0.

    Loading may be undone later, by a backbone's own ``init_weights`` or by the config's
    ``load_from``. A resumed run is left alone: its weights have been trained.
    ``tools/train.py --pretrained`` adds this hook.

    Args:
        checkpoint: File or URL of the pretrained weights.
        strict: Whether all of the backbone must be in it, see
            :func:`snnssl_mm.checkpoints.load_backbone`.

    Raises:
        RuntimeError: Before training, if a tensor differs.
    """

    priority = "VERY_LOW"  # after every hook that may touch the weights

    def __init__(self, checkpoint: str, strict: bool = True) -> None:
        self.checkpoint = checkpoint
        self.strict = strict

    def before_train(self, runner: Any) -> None:
        """Compare all tensors."""
        if runner.iter > 0:
            return
        model = whole_model(runner)
        if model is None:  # the first process compares
            return
        fitting = match_backbone(model.backbone, self.checkpoint, self.strict).fitting
        loaded = model.backbone.state_dict()
        differences = {
            name: largest_difference(loaded[name], tensor)
            for name, tensor in fitting.items()
        }
        wrong = [name for name, difference in differences.items() if difference != 0]
        if wrong:
            worst = max(differences, key=differences.__getitem__)
            raise RuntimeError(
                f"{len(wrong)} of {len(fitting)} backbone tensors are not those of "
                f"{self.checkpoint} at the start of training, worst: {worst} "
                f"(differs by {differences[worst]:.3g}). Something wrote over them "
                "after loading: load_from or model.init_cfg in the config, or the "
                "backbone's own init_weights, which may need "
                "init_cfg=dict(type='Pretrained', prefix='backbone.', ...) instead"
            )
        runner.logger.info(
            f"all {len(fitting)} loaded backbone tensors equal {self.checkpoint}"
        )


def largest_difference(loaded: Tensor, saved: Tensor) -> float:
    """Return max |loaded - saved|, with ``saved`` in the type of ``loaded``."""
    saved = saved.to(loaded.device, loaded.dtype)
    if loaded.numel() == 0 or loaded.equal(saved):
        return 0.0
    difference = (loaded.double() - saved.double()).abs().max()
    return float(difference.nan_to_num(nan=float("inf")))
