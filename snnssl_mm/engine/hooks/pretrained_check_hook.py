"""Check before the first step that training starts from the pretrained weights."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch import Tensor

from snnssl_mm.checkpoints import read_once
from snnssl_mm.checkpoints.given_weights import (
    OURS,
    Given,
    compare_weights,
    given_weights,
)
from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.engine.guards.gathered_model import gathered_model
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class PretrainedCheckHook(Hook):
    """Require that the model equals its checkpoints: max ``|w - w_ckpt|`` = 0.

    Loaded weights may be overwritten later, by a backbone's own ``init_weights`` or by
    the config's ``load_from``. All weights that the config gives are compared, see
    :mod:`snnssl_mm.checkpoints.given_weights`. A resumed run is not checked, since its
    weights have been trained. ``snnssl train`` adds this hook.

    Args:
        checkpoint: File or URL of a pretrained backbone, if the config does not give
            it.
        strict: Whether it must contain the complete backbone, see
            :func:`snnssl_mm.checkpoints.loading.load_backbone`.

    Raises:
        RuntimeError: Before training, if a tensor differs.
    """

    priority = "VERY_LOW"  # after every hook that may change the weights

    def __init__(self, checkpoint: str | None = None, strict: bool = True) -> None:
        self.checkpoint = checkpoint
        self.strict = strict

    def before_train(self, runner: Any) -> None:
        """Compare all tensors, then clear the cache of checkpoints."""
        try:
            if runner.iter == 0:
                self.compare(runner)
        finally:
            read_once.forget()

    def compare(self, runner: Any) -> None:
        """Compare all weights that the config gives, in the order of their loading.

        Weights that mmengine loads later replace earlier ones, except those of
        ``BackboneInit``, which must not be replaced.
        """
        cfg = getattr(runner, "cfg", {})
        given = given_weights(cfg, unwrapped(runner.model))
        if self.checkpoint and all(one.way != OURS for one in given):
            key, path = "PretrainedCheckHook", self.checkpoint
            given.append(Given(OURS, key, "backbone", path, None, self.strict))
        if not given:
            return
        model = gathered_model(runner)
        if model is None:  # rank 0 compares
            return
        expected: dict[str, tuple[Tensor, str]] = {}
        explicit: set[str] = set()
        for one in given:
            if one.remote and one.way != OURS:
                continue
            tensors = compare_weights(one, model, cfg).tensors
            if one.way == OURS:
                explicit |= tensors.keys()
            for name, tensor in tensors.items():
                if one.way == OURS or name not in explicit:
                    expected[name] = tensor, one.path
        require_equal(model.state_dict(), expected)
        for path in dict.fromkeys(path for _, path in expected.values()):
            number = sum(path == other for _, other in expected.values())
            runner.logger.info(f"all {number} loaded backbone tensors equal {path}")


def require_equal(
    loaded: dict[str, Tensor], expected: dict[str, tuple[Tensor, str]]
) -> None:
    """Require that a model's tensors are those of their checkpoints.

    Raises:
        RuntimeError: If one differs; names the tensor that differs most.
    """
    differences = {
        name: largest_difference(loaded[name], tensor)
        for name, (tensor, _) in expected.items()
        if loaded[name].shape == tensor.shape  # otherwise the module converted it
    }
    wrong = [name for name, difference in differences.items() if difference != 0]
    if wrong:
        worst = max(differences, key=differences.__getitem__)
        raise RuntimeError(
            f"{len(wrong)} of {len(expected)} backbone tensors are not those of "
            f"{expected[worst][1]} at the start of training, worst: "
            f"{worst.removeprefix('backbone.')} (differs by "
            f"{differences[worst]:.3g}). They were overwritten after loading: by "
            "load_from or model.init_cfg in the config, or by the backbone's own "
            "init_weights, which may need init_cfg=dict(type='Pretrained', "
            "prefix='backbone.', ...) instead"
        )


def largest_difference(loaded: Tensor, saved: Tensor) -> float:
    """Compute max |loaded - saved|, with ``saved`` in the dtype of ``loaded``."""
    saved = saved.to(loaded.device, loaded.dtype)
    if loaded.numel() == 0 or loaded.equal(saved):
        return 0.0
    difference = (loaded.double() - saved.double()).abs().max()
    return float(difference.nan_to_num(nan=float("inf")))
