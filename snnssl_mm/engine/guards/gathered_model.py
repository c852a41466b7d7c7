"""The model of a run with its complete weights, also if FSDP shards them."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType

from snnssl_mm import compat
from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.probing.probe_models import Model, build_eval_model


def gathered_model(runner: Any) -> Model | None:
    """Return the model of a run so that one process can use it alone.

    Every process must call it. If FSDP shards the weights, rank 0 gets a copy with the
    gathered weights and the other ranks get None; otherwise the model itself is
    returned.

    Args:
        runner: Runner in training.

    Raises:
        ValueError: If DeepSpeed shards the weights (ZeRO stage 3).
    """
    model = runner.model
    if isinstance(model, FullyShardedDataParallel):
        return gathered_copy(model, runner)
    engine = model if is_model_wrapper(model) else None
    stage = getattr(engine, "zero_optimization_stage", None)
    if stage is not None and stage() > 2:
        raise ValueError(
            "DeepSpeed's ZeRO stage 3 shards the weights, so no process can measure "
            "the features; set strategy.zero_optimization.stage=2, or train without "
            "pretrained weights and with health, knn and linear_probe of default_hooks "
            "set to None"
        )
    return unwrapped(model)


def gathered_copy(model: FullyShardedDataParallel, runner: Any) -> Model | None:
    """Gather a model that FSDP shards into a copy on rank 0."""
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
