"""Train what a config describes: adjust it, check it, build its runner, train."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

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
from snnssl_mm.checks.config.weights import check_weights
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.preflight import build_loops, check_batches
from snnssl_mm.engine import strategies
from snnssl_mm.engine.guards.disk_space import (
    check_disk_space,
    disk_faults_as_sentences,
)
from snnssl_mm.engine.guards.run_lock import alone_in
from snnssl_mm.engine.guards.worker_errors import explain_errors
from snnssl_mm.engine.hooks.atomic_checkpoint_hook import use_atomic_checkpoints
from snnssl_mm.engine.screen import opening, quiet

NAMING_WEIGHTS = ("checkpoint", "pretrained", "frozen_stages")
"""Settings of a model by which weights come into it, or have to."""


def train(
    cfg: Config, launcher: str = "none", local_rank: int = 0, preflight: bool = True
) -> Any:
    """Check a config, build its runner and train.

    Args:
        cfg: Of any scope; :func:`adjust` has set its ``work_dir``.
        launcher: How this process was started: ``'none'``, ``'pytorch'``, ``'slurm'``
            or ``'mpi'``.
        local_rank: Of this process, where the launcher does not put it into the
            environment.
        preflight: Whether to look at data, batches and evaluators first.

    Returns:
        mmengine's Runner, or FlexibleRunner, after the training.

    Raises:
        ConfigError: If the config's text or weights are wrong.
        DataError: If the data do not fit, or a batch cannot be trained on.
        CheckpointError: If the checkpoint to resume from is damaged.
        FolderInUse: If another training writes to the work directory.
        OSError: If there is no room in the work directory.
    """
    check_text_of(cfg)
    with files_kept():  # until PretrainedCheckHook has compared them
        check_weights_of(cfg)
        if preflight:
            check_data(cfg)
        folder = Path(cfg.work_dir)
        require_writable(folder / "last_checkpoint", option="--work-dir")
        folder.mkdir(parents=True, exist_ok=True)
        prepare_resume(cfg)
        add_hook(cfg, "DataCheckHook", files=False, batches=preflight)
        # Several processes are one training.
        lock = alone_in(folder) if launcher == "none" else contextlib.nullcontext()
        with disk_faults_as_sentences(cfg.work_dir), lock:
            runner = build_runner(cfg, launcher, local_rank)
            model = unwrapped(runner.model)
            build_loops(runner)
            loop = runner.train_loop
            check_batches(loop.dataloader)
            check_disk_space(cfg, model, loop.max_epochs, loop.max_iters)
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
) -> Config:
    """Apply what a user asks for besides the config; return the config.

    Args:
        cfg: Read from a file.
        work_dir: For logs and checkpoints; the config's, or ``work_dirs/<its name>``,
            by default.
        resume: Checkpoint to continue from; ``'auto'`` is the last one of the work
            directory.
        resume_schedule: ``'refuse'`` or ``'rebuild'``, if the schedule is not the
            checkpoint's.
        pretrained: Checkpoint of the backbone to start from.
        amp: ``'float16'`` or ``'bfloat16'`` for mixed precision.
        auto_scale_lr: Whether the learning rate follows the batch size.

    Raises:
        ValueError: If the config does not allow what is asked for.
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
    return cfg


def add_hook(cfg: Config, name: str, **settings: Any) -> None:
    """Append a hook of this package to the config's own."""
    hook = dict(type=f"snnssl_mm.{name}", **settings)
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]


def start_from(cfg: Config, checkpoint: str) -> None:
    """Load a pretrained backbone; keep ``init_cfg.strict=False`` of the config.

    Raises:
        ValueError: If the model has no backbone.
    """
    backbone = cfg.model.get("backbone")
    if backbone is None:
        raise ValueError(
            "--pretrained expects a model with a backbone, and "
            f"{cfg.model.get('type')} of {cfg.filename} has none of its own"
        )
    before = backbone.get("init_cfg")
    strict = before.get("strict", True) if isinstance(before, dict) else True
    backbone.init_cfg = dict(
        type="snnssl_mm.BackboneInit", checkpoint=checkpoint, strict=strict
    )
    for owner in (cfg.model, backbone):  # mmseg's and old ways, which would win
        if "pretrained" in owner:
            owner.pretrained = None


def enable_amp(cfg: Config, dtype: str) -> None:
    """Swap the optimizer wrapper for one with autocast; keep the user's loss scale."""
    amp = compat.amp_optim_wrapper_cfg(dtype)
    scale = cfg.optim_wrapper.pop("loss_scale", None)
    cfg.optim_wrapper.pop("dtype", None)
    cfg.optim_wrapper.update(amp)
    if scale is not None and "loss_scale" in amp:
        cfg.optim_wrapper.loss_scale = scale


def enable_auto_scale_lr(cfg: Config) -> None:
    """Switch on mmengine's learning-rate scaling.

    Raises:
        ValueError: If the config does not say which batch size it is made for.
    """
    scaling = cfg.get("auto_scale_lr", ConfigDict())
    if "base_batch_size" not in scaling:
        raise ValueError(
            "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the "
            "config: the batch size that its learning rate is made for"
        )
    scaling.enable = True


def check_text_of(cfg: Config) -> None:
    """Refuse names and arguments that would fail later; log what else looks wrong.

    Raises:
        ConfigError: If there are any, or a section is missing.
    """
    if absent := missing(cfg):
        raise ConfigError(
            f"the config has no {', '.join(absent)}, so nothing can be trained; "
            "inherit a config that has it"
        )
    problems = check_text(cfg)  # makes the config's scope the one in force
    refuse_errors(check_names(cfg))
    warn(problems)


def check_weights_of(cfg: Config) -> None:
    """Refuse weights that do not fit the model, before its data are looked at.

    Raises:
        ConfigError: If they do not fit.
    """
    text = str(cfg.model)
    named = any(f"'{key}'" in text for key in NAMING_WEIGHTS)
    loaded = cfg.get("load_from") and not cfg.get("resume")
    if named or loaded:
        model, _ = build_unfilled(cfg)  # what it cannot build, the runner cannot either
        problems = check_weights(cfg, model, files=True)
        refuse_errors(problems)
        warn(problems)


def refuse_errors(problems: list[Problem]) -> None:
    """Raise the errors among the problems.

    Raises:
        ConfigError: If there are any.
    """
    errors = [str(problem) for problem in problems if problem.level == "error"]
    if errors:
        raise ConfigError("\n".join(errors).removeprefix("error: "))


def warn(problems: list[Problem]) -> None:
    """Log problems as warnings."""
    for problem in problems:
        print_log(str(problem), logger="current", level=logging.WARNING)


def build_runner(cfg: Config, launcher: str = "none", local_rank: int = 0) -> Any:
    """Build the runner of a config for the launcher of this process."""
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    cfg.launcher = launcher
    if launcher == "pytorch" and compat.init_cpu_process_group():
        cfg.model_wrapper_cfg = compat.cpu_model_wrapper_cfg()
    if "runner_type" not in cfg:
        with quiet():
            return Runner.from_cfg(cfg)
    strategies.fit_strategy(cfg)
    with quiet():
        runner = RUNNERS.build(cfg)
        strategies.build_model(runner, cfg)
    return runner
