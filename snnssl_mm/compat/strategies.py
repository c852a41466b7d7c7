"""mmengine's strategies: FSDP, DDP and DeepSpeed."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from snnssl_mm.compat.cpu import cpu_model_wrapper_cfg
from snnssl_mm.compat.status import Status, has_gpu, module_of


def full_state_dict_configs() -> tuple[Any, Any]:
    """Return FSDP's options for gathering weights and optimizer states on rank 0."""
    from torch.distributed.fsdp import FullOptimStateDictConfig, FullStateDictConfig

    options = {"offload_to_cpu": has_gpu(), "rank0_only": True}
    return FullStateDictConfig(**options), FullOptimStateDictConfig(**options)


def cpu_strategy(strategy: Any) -> None:
    """Adapt a strategy of FlexibleRunner to CPUs, see :func:`cpu_strategies`."""
    if has_gpu():
        return
    if hasattr(strategy, "state_dict_config"):  # FSDPStrategy
        import torch

        wrapper = strategy.model_wrapper or {"type": "MMFullyShardedDataParallel"}
        strategy.model_wrapper = {**wrapper, "device_id": torch.device("cpu")}
        if strategy._is_full_state_dict():
            weights, states = full_state_dict_configs()
            strategy.state_dict_config = weights
            strategy.optim_state_dict_config = states
    elif hasattr(strategy, "model_wrapper"):  # DDPStrategy
        strategy.model_wrapper = cpu_model_wrapper_cfg()


def cpu_strategies() -> Status:
    """FlexibleRunner with DDPStrategy or FSDPStrategy on CPUs: no such device; a crash.

    Cause: both pass a GPU to the wrapper. Without a GPU, FSDP needs a
    ``torch.device``, which a config file cannot contain; and if it "offloads" full
    weights that are on the CPU already, it frees their memory. :func:`cpu_strategy`
    avoids both.
    Removable: when both strategies leave the device to the wrapper without CUDA, and
    torch's FSDP copies full weights that are on a CPU already.
    """
    if has_gpu():
        return Status("not applicable", "there is a GPU: strategies use it")
    return Status("cured", "snnssl train adapts the strategy before training")


def sharded_optimizer() -> Status:
    """FSDPStrategy, ``--resume``: 'MMFullyShardedDataParallel' object has no ...

    Cause: mmengine passes the arguments of torch's ``optim_state_dict_to_load`` in the
    order of torch 2.0 (state, model, optimizer); since 2.1 the state comes last.
    Removable: when ``FSDPStrategy.load_optim_state_dict`` passes them by name; in
    onedl-mmengine 0.10.12 it does not.
    """
    module = module_of("mmengine._strategy.fsdp")
    if module is None:
        return Status("not applicable", "mmengine is not installed")

    def load_optim_state_dict(self: Any, state_dict: dict[str, Any]) -> None:
        wrapper = self.optim_wrapper
        wrapper.load_state_dict(
            module.FSDP.optim_state_dict_to_load(
                model=self.model, optim=wrapper.optimizer, optim_state_dict=state_dict
            )
        )

    module.FSDPStrategy.load_optim_state_dict = load_optim_state_dict
    return Status("cured", "arguments for FSDP's optimizer state are passed by name")


def deepspeed_optimizers() -> Status:
    """DeepSpeedStrategy: No module named 'deepspeed.runtime.fp16.onebit'.

    Cause: mmengine registers DeepSpeed's own optimizers, and DeepSpeed 0.19 no longer
    has some of them. AdamW is torch's own, so missing optimizers are skipped.
    Removable: when mmengine's ``register_deepspeed_optimizers`` skips optimizers that
    DeepSpeed does not have; in onedl-mmengine 0.10.12 it does not.
    """
    module = module_of("mmengine._strategy.deepspeed")
    if module is None or module.deepspeed is None:
        return Status("not applicable", "DeepSpeed or mmengine is not installed")
    register = module.register_deepspeed_optimizers
    if not hasattr(register, "__wrapped__"):

        @functools.wraps(register)
        def register_existing() -> list[str]:
            with contextlib.suppress(ImportError):
                return list(register())
            return []

        module.register_deepspeed_optimizers = register_existing
    return Status("cured", "missing optimizers of DeepSpeed are skipped")
