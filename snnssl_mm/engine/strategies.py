"""Support of mmengine's FlexibleRunner with the strategies DDP, FSDP and DeepSpeed."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.model import convert_sync_batchnorm

from snnssl_mm import compat


class StrategyError(ValueError):
    """A strategy that does not fit the config or the launcher."""


LAUNCHED_BY = {
    "pytorch": ("RANK", "torchrun --nproc-per-node=N --no-python snnssl train ..."),
    "slurm": ("SLURM_PROCID", "srun snnssl train ..., or tools/slurm_train.sh"),
    "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "mpirun snnssl train ..."),
}
"""By launcher: a variable that it sets for every process, and how to use it."""


def require_launched(launcher: str) -> None:
    """Require that this process was started by its launcher.

    Raises:
        StrategyError: If it was not; says how to start it.
    """
    variable, command = LAUNCHED_BY.get(launcher, ("", ""))
    if variable and variable not in os.environ:
        raise StrategyError(
            f"--launcher {launcher} expects {variable} in the environment, which is "
            f"not there; start by {command}, or leave out --launcher"
        )


def fit_strategy(cfg: Config) -> None:
    """Adapt a FlexibleRunner's config to its launcher.

    A single process without a launcher cannot be part of a distributed training, so it
    uses SingleDeviceStrategy, which is logged.

    Args:
        cfg: Config with ``launcher``.

    Raises:
        StrategyError: If DeepSpeed is configured but not installed, has no launcher,
            has another optimizer wrapper than its own, or is to scale the learning
            rate.
    """
    name = (cfg.get("strategy") or {}).get("type", "SingleDeviceStrategy")
    if name == "DeepSpeedStrategy":
        if importlib.util.find_spec("deepspeed") is None:
            raise StrategyError(
                "DeepSpeedStrategy needs DeepSpeed, which is not installed; "
                "pip install deepspeed, or use the config with FSDPStrategy"
            )
        if cfg.optim_wrapper.type != "DeepSpeedOptimWrapper":
            raise StrategyError(
                "DeepSpeedStrategy expects optim_wrapper.type="
                f"'DeepSpeedOptimWrapper', got {cfg.optim_wrapper.type!r}; precision "
                "and accumulation are set in the strategy (bf16, "
                "gradient_accumulation_steps), not by --amp"
            )
        if (cfg.get("auto_scale_lr") or {}).get("enable"):
            raise StrategyError(
                "DeepSpeedStrategy does not scale the learning rate, so that "
                "--auto-scale-lr (auto_scale_lr.enable) would have no effect; leave it "
                "out, and set optim_wrapper.optimizer.lr for your global batch size"
            )
        if cfg.launcher == "none":
            raise StrategyError(
                "DeepSpeedStrategy needs a launcher, even for one process: "
                "torchrun --nproc-per-node=1 --no-python snnssl train CONFIG "
                "--launcher pytorch"
            )
    elif cfg.launcher == "none" and name != "SingleDeviceStrategy":
        text = f"one process without --launcher: SingleDeviceStrategy replaces {name}"
        print_log(text, "current")
        cfg.strategy = ConfigDict(type="SingleDeviceStrategy")


def build_model(runner: Any, cfg: Config) -> None:
    """Build a FlexibleRunner's model now, with the ``sync_bn`` of its config.

    mmengine's Runner builds its model at once and applies ``sync_bn`` itself.
    FlexibleRunner does neither: with FSDPStrategy and DeepSpeedStrategy, batch norms
    would silently use the statistics of each process only.

    Args:
        runner: FlexibleRunner before training.
        cfg: Its config.
    """
    compat.cpu_strategy(runner.strategy)
    model = runner.strategy.build_model(runner.model)
    if cfg.get("sync_bn") and runner.distributed:
        model = convert_sync_batchnorm(model, cfg.sync_bn)
    runner.model = model
