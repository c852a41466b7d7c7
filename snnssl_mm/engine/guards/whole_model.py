"""The model of a run with all of its weights, also where processes share them out."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType

from snnssl_mm import compat
from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.probing.probe_models import Model, build_eval_model


def whole_model(runner: Any) -> Model | None:
    """Return the model of a run in its mode, as one process can use it alone.

    Every process must call it. Of a model whose weights are shared out (FSDP) the
    first process gets a copy, and the others get None; else it is the model itself.

    Args:
        runner: In training.

    Raises:
        ValueError: If DeepSpeed shares the weights out (ZeRO stage 3).
    """
    model = runner.model
    if isinstance(model, FullyShardedDataParallel):
        return gathered_copy(model, runner)
    engine = model if is_model_wrapper(model) else None
    stage = getattr(engine, "zero_optimization_stage", None)
    if stage is not None and stage() > 2:
        raise ValueError(
            "DeepSpeed's ZeRO stage 3 shares the weights out, and no process has them "
            "all to measure the features; set strategy.zero_optimization.stage=2, or "
            "train without given weights and with health, knn and linear_probe of "
            "default_hooks set to None"
        )
    return unwrapped(model)


def gathered_copy(model: FullyShardedDataParallel, runner: Any) -> Model | None:
    """Copy a model whose weights are shared out by FSDP into the first process."""
    full, _ = compat.full_state_dict_configs()
    with FullyShardedDataParallel.state_dict_type(
        model, StateDictType.FULL_STATE_DICT, full
    ):
        state = model.state_dict()
    if not is_main_process():
        return None
    with random_states_kept():
        copy = build_eval_model(runner.cfg)
    copy.load_state_dict(state)
    return copy.train(model.training)
