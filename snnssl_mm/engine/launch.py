"""Training from a config: adjust and check it, build its runner, train."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from snnssl_mm import compat
from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checkpoints.read_once import files_kept
from snnssl_mm.checkpoints.resuming import prepare_resume
from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.checks.config import check_text
from snnssl_mm.checks.config.build import build_unfilled
from snnssl_mm.checks.config.keys import missing
from snnssl_mm.checks.config.names import check_names
from snnssl_mm.checks.config.problem import ConfigError, Problem
from snnssl_mm.checks.config.schedule import batches_per_update, check_iterations
from snnssl_mm.checks.config.weights import check_weights
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.preflight import build_loops, require_training_batches
from snnssl_mm.engine import strategies
from snnssl_mm.engine.guards.disk_space import (
    explain_disk_errors,
    require_disk_space,
)
from snnssl_mm.engine.guards.run_lock import locked_folder
from snnssl_mm.engine.guards.worker_errors import explain_errors
from snnssl_mm.engine.hooks.atomic_checkpoint_hook import use_atomic_checkpoints
from snnssl_mm.engine.hooks.teacher_hook import require_updates
from snnssl_mm.engine.screen import opening, quiet_runner

NAMING_WEIGHTS = ("checkpoint", "pretrained", "frozen_stages")
"""Settings of a model that load weights, or require them."""


def train(
    cfg: Config, launcher: str = "none", local_rank: int = 0, preflight: bool = True
) -> Any:
    """Check a config, build its runner and train.

    Args:
        cfg: Config of any scope; :func:`adjust` has set its ``work_dir``.
        launcher: How this process was started: ``'none'``, ``'pytorch'``, ``'slurm'``
            or ``'mpi'``.
        local_rank: Local rank of this process, if the launcher does not set it in the
            environment.
        preflight: Whether to check data, batches and evaluators first.

    Returns:
        mmengine's Runner, or FlexibleRunner, after the training.

    Raises:
        ConfigError: If the config's text or weights are wrong.
        DataError: If the data do not fit the model, or a batch fails.
        CheckpointError: If the checkpoint to resume from is damaged.
        FolderInUse: If another training writes to the work directory.
        OSError: If there is too little disk space for the checkpoints.
        StrategyError: If the launcher did not start this process, or does not fit the
            config's strategy.
    """
    strategies.require_launched(launcher)
    require_valid_text(cfg)
    with files_kept():  # until PretrainedCheckHook has compared the weights
        require_fitting_weights(cfg)
        if preflight:
            check_data(cfg)
        folder = Path(cfg.work_dir)
        require_writable(folder / "last_checkpoint", option="--work-dir")
        folder.mkdir(parents=True, exist_ok=True)
        prepare_resume(cfg)
        add_hook(cfg, "DataCheckHook", files=False, batches=preflight)
        # Several processes are one training.
        lock = locked_folder(folder) if launcher == "none" else contextlib.nullcontext()
        with explain_disk_errors(cfg.work_dir), lock:
            runner = build_runner(cfg, launcher, local_rank)
            model = unwrapped(runner.model)
            require_updates(runner)
            build_loops(runner)
            loop = runner.train_loop
            require_training_batches(loop.dataloader)
            log_warnings(check_iterations(cfg, len(loop.dataloader)))
            require_disk_space(cfg, model, loop.max_epochs, loop.max_iters)
            runner.logger.info(opening(runner, model))
            with explain_errors(runner):
                runner.train()
    return runner


def adjust(
    cfg: Config,
    work_dir: str | None = None,
    resume: str | None = None,
    resume_schedule: str = "refuse",
    pretrained: str | None = None,
    amp: str | None = None,
    auto_scale_lr: bool = False,
    graph: bool = False,
) -> Config:
    """Apply the options of the training command to a config; return the config.

    Args:
        cfg: Config as read from a file.
        work_dir: Folder for logs and checkpoints; the config's, or
            ``work_dirs/<its name>``, by default.
        resume: Checkpoint to resume from; ``'auto'`` is the last one in the work
            directory.
        resume_schedule: ``'refuse'`` or ``'rebuild'``, if the schedule differs from
            the checkpoint's.
        pretrained: Checkpoint of the backbone to start from.
        amp: ``'float16'`` or ``'bfloat16'`` for mixed precision.
        auto_scale_lr: Whether to scale the learning rate with the global batch size.
        graph: Whether to replay training steps from a CUDA graph.

    Raises:
        ValueError: If an option does not fit the config, or this machine.
    """
    use_atomic_checkpoints(cfg)
    name = Path(cfg.filename or "config").stem
    cfg.work_dir = work_dir or cfg.get("work_dir") or str(Path("work_dirs", name))
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume == "auto" else resume
    cfg.resume_schedule = resume_schedule
    if pretrained:
        start_from(cfg, pretrained)
    add_hook(cfg, "PretrainedCheckHook")
    if amp:
        enable_amp(cfg, amp)
    if auto_scale_lr:
        enable_auto_scale_lr(cfg)
    if graph:
        enable_graph(cfg)
    return cfg


def add_hook(cfg: Config, name: str, **settings: Any) -> None:
    """Append a hook of this package to the config's own."""
    hook = dict(type=f"snnssl_mm.{name}", **settings)
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]


def start_from(cfg: Config, checkpoint: str) -> None:
    """Set the backbone's pretrained checkpoint; keep the config's ``strict=False``.

    Raises:
        ValueError: If the model has no backbone.
    """
    backbone = cfg.model.get("backbone")
    if backbone is None:
        raise ValueError(
            "--pretrained expects a model with a backbone, but "
            f"{cfg.model.get('type')} of {cfg.filename} has none; set init_cfg of the "
            "part that has one"
        )
    before = backbone.get("init_cfg")
    strict = before.get("strict", True) if isinstance(before, dict) else True
    backbone.init_cfg = dict(
        type="snnssl_mm.BackboneInit", checkpoint=checkpoint, strict=strict
    )
    for owner in (cfg.model, backbone):  # mmseg's and old options take precedence
        if "pretrained" in owner:
            owner.pretrained = None


def enable_amp(cfg: Config, dtype: str) -> None:
    """Replace the optimizer wrapper by one with autocast; keep the loss scale."""
    amp = compat.amp_optim_wrapper_cfg(dtype)
    scale = cfg.optim_wrapper.pop("loss_scale", None)
    cfg.optim_wrapper.pop("dtype", None)
    cfg.optim_wrapper.update(amp)
    if scale is not None and "loss_scale" in amp:
        cfg.optim_wrapper.loss_scale = scale


def enable_auto_scale_lr(cfg: Config) -> None:
    """Enable mmengine's learning-rate scaling.

    Raises:
        ValueError: If the config does not define the batch size of its learning rate.
    """
    scaling = cfg.get("auto_scale_lr", ConfigDict())
    if "base_batch_size" not in scaling:
        raise ValueError(
            "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the "
            "config: the global batch size that its learning rate is for"
        )
    scaling.enable = True


def enable_graph(cfg: Config) -> None:
    """Add GraphedStepHook, if the config does not have it.

    Raises:
        ValueError: If this machine has no CUDA device.
    """
    if not torch.cuda.is_available():
        raise ValueError(
            "--graph needs a CUDA GPU, which this machine does not have; train "
            "without it"
        )
    hooks = cfg.setdefault("default_hooks", ConfigDict())
    if not hooks.get("graph"):
        hooks["graph"] = dict(type="snnssl_mm.GraphedStepHook")


def require_valid_text(cfg: Config) -> None:
    """Require a config without wrong names and arguments; log other problems.

    Raises:
        ConfigError: If there are errors, or a section is missing.
    """
    if absent := missing(cfg):
        raise ConfigError(
            f"the config has no {', '.join(absent)}, which training needs; inherit a "
            "config that has it"
        )
    problems = check_text(cfg)  # activates the config's scope
    refuse_errors(check_names(cfg))
    log_warnings(problems)


def require_fitting_weights(cfg: Config) -> None:
    """Require weights that fit the model, before the data are checked.

    Raises:
        ConfigError: If they do not fit.
    """
    text = str(cfg.model)
    named = any(f"'{key}'" in text for key in NAMING_WEIGHTS)
    loaded = cfg.get("load_from") and not cfg.get("resume")
    if named or loaded:
        model, _ = build_unfilled(cfg)  # if it fails, building the runner fails too
        problems = check_weights(cfg, model, files=True)
        refuse_errors(problems)
        log_warnings(problems)


def refuse_errors(problems: list[Problem]) -> None:
    """Raise the errors among the problems.

    Raises:
        ConfigError: If there are any.
    """
    errors = [str(problem) for problem in problems if problem.level == "error"]
    if errors:
        raise ConfigError("\n".join(errors).removeprefix("error: "))


def log_warnings(problems: list[Problem]) -> None:
    """Log problems as warnings."""
    for problem in problems:
        print_log(str(problem), logger="current", level=logging.WARNING)


def build_runner(cfg: Config, launcher: str = "none", local_rank: int = 0) -> Any:
    """Build the runner of a config for this process's launcher."""
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    cfg.launcher = launcher
    if compat.init_cpu_process_group(launcher):
        cfg.model_wrapper_cfg = compat.cpu_model_wrapper_cfg()
    if "runner_type" not in cfg:
        with quiet_runner():
            runner = Runner.from_cfg(cfg)
            scale_lr_per_update(runner, "auto_scale_lr", cfg)
        return runner
    strategies.fit_strategy(cfg)
    with quiet_runner():
        runner = RUNNERS.build(cfg)
        scale_lr_per_update(runner.strategy, "_auto_scale_lr", cfg)
        strategies.build_model(runner, cfg)
    return runner


def scale_lr_per_update(owner: Any, name: str, cfg: Config) -> None:
    """Let mmengine's learning-rate scaling count the batches of an update.

    It scales by ``processes * batch_size / base_batch_size``, whether gradients are
    accumulated or not; with n batches an update the base is that of one of them. The
    config keeps its own, since it may be trained again from the work directory.

    Args:
        owner: The runner or strategy that scales.
        name: Its attribute, ``auto_scale_lr`` of the config.
        cfg: The config.
    """
    scaling, number = cfg.get("auto_scale_lr") or {}, batches_per_update(cfg)
    base = scaling.get("base_batch_size")
    if base and scaling.get("enable") and number > 1:
        setattr(owner, name, {**scaling, "base_batch_size": base / number})
        text = f"an update averages {number} batches: base_batch_size is {base} / "
        print_log(f"{text}{number} images of each", logger="current")
