#!/usr/bin/env python3
"""Train anything of the three scopes: pretraining, detection, segmentation.

usage: python tools/train.py configs/selfsup/spikformer_ctl.py [options]

On several GPUs: torchrun --nproc-per-node=8 tools/train.py CONFIG --launcher pytorch
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.cli.tooling import (
    add_config_arguments,
    add_launcher_arguments,
    add_trust_argument,
    build_runner,
    errors_as_sentences,
    load_config,
    parse,
    require_writable,
    run_tool,
)

if TYPE_CHECKING:
    from mmengine.config import Config

    from snnssl_mm.checks.config import Problem


def parse_args() -> argparse.Namespace:
    """Read the command line; it takes precedence over the config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser)
    add_launcher_arguments(parser)
    parser.add_argument(
        "--work-dir",
        "--out",
        help="folder for logs and checkpoints; work_dirs/<config's name> by default",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="continue from CKPT, or from the last checkpoint of the work directory",
    )
    parser.add_argument(
        "--resume-schedule",
        choices=["refuse", "rebuild"],
        default="refuse",
        help="if batch size, length or learning rate are not those of the checkpoint: "
        "refuse, or continue from the same point of the new schedule",
    )
    parser.add_argument(
        "--pretrained", metavar="CKPT", help="start from this backbone; it must fit"
    )
    add_trust_argument(parser)
    parser.add_argument(
        "--amp",
        nargs="?",
        const="float16",
        choices=["float16", "bfloat16"],
        help="mixed precision; fp16 with loss scaling by default, always bf16 on a CPU",
    )
    parser.add_argument(
        "--no-preflight",
        action="store_true",
        help="start without looking at data, batches and evaluators first",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from the config's batch size to the actual one",
    )
    return parse(parser)


def config_of(args: argparse.Namespace) -> Config:
    """Read the config file and apply the command line to it."""
    cfg = load_config(args)

    from snnssl_mm.engine.hooks.atomic_checkpoint_hook import use_atomic_checkpoints

    use_atomic_checkpoints(cfg)
    cfg.work_dir = (
        args.work_dir
        or cfg.get("work_dir")
        or str(Path("work_dirs", Path(args.config).stem))
    )
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    cfg.resume_schedule = args.resume_schedule
    if args.pretrained:
        start_from(cfg, args.pretrained)
    hook = dict(type="snnssl_mm.PretrainedCheckHook")
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]
    if args.amp:
        enable_amp(cfg, args.amp)
    if args.auto_scale_lr:
        enable_auto_scale_lr(cfg)
    return cfg


def start_from(cfg: Config, checkpoint: str) -> None:
    """Load a pretrained backbone; ``init_cfg.strict=False`` of the config is kept."""
    backbone = cfg.model.get("backbone")
    if backbone is None:
        raise SystemExit(
            "error: --pretrained expects a model with a backbone, and "
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


def check_weights_of(cfg: Config) -> None:
    """Refuse weights that do not fit the model, before its data are looked at."""
    from snnssl_mm.checks.config.build import build_unfilled
    from snnssl_mm.checks.config.weights import check_weights

    text = str(cfg.model)
    keys = ("checkpoint", "pretrained", "frozen_stages")
    if not any(f"'{key}'" in text for key in keys) and (
        cfg.get("resume") or not cfg.get("load_from")
    ):
        return
    model, _ = build_unfilled(cfg)  # what it cannot build, the runner cannot either
    report(check_weights(cfg, model, files=True))


def report(problems: list[Problem], fatal: list[Problem] | None = None) -> None:
    """End with the errors among the problems; log the others.

    Args:
        problems: What was found.
        fatal: Those that end the program if they are errors; all by default.
    """
    import logging

    from mmengine.logging import print_log

    errors = [p for p in (problems if fatal is None else fatal) if p.level == "error"]
    if errors:
        raise SystemExit("\n".join(map(str, errors)))
    for problem in problems:
        print_log(str(problem), logger="current", level=logging.WARNING)


def check_text_of(cfg: Config) -> None:
    """Refuse names and arguments that would fail later; log what else looks wrong."""
    from snnssl_mm.checks.config import check_text
    from snnssl_mm.checks.config.keys import missing
    from snnssl_mm.checks.config.names import check_names

    if absent := missing(cfg):
        raise SystemExit(
            f"error: the config has no {', '.join(absent)}, so nothing can be trained; "
            "inherit a config that has it"
        )
    problems = check_text(cfg)  # makes the config's scope the one in force
    report(problems, fatal=check_names(cfg))


def enable_amp(cfg: Config, dtype: str) -> None:
    """Swap the optimizer wrapper for one with autocast; keep the user's loss scale."""
    from snnssl_mm import compat

    amp = compat.amp_optim_wrapper_cfg(dtype)
    scale = cfg.optim_wrapper.pop("loss_scale", None)
    cfg.optim_wrapper.pop("dtype", None)
    cfg.optim_wrapper.update(amp)
    if scale is not None and "loss_scale" in amp:
        cfg.optim_wrapper.loss_scale = scale


def enable_auto_scale_lr(cfg: Config) -> None:
    """Switch on mmengine's learning-rate scaling."""
    from mmengine.config import ConfigDict

    scaling = cfg.get("auto_scale_lr", ConfigDict())
    if "base_batch_size" not in scaling:
        raise SystemExit(
            "error: --auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in "
            "the config: the batch size that its learning rate is made for"
        )
    scaling.enable = True


def main() -> None:
    """Train."""
    args = parse_args()

    from snnssl_mm.checkpoints.read_once import files_kept
    from snnssl_mm.checkpoints.resuming import resume_from_whole
    from snnssl_mm.checks.data import check_data
    from snnssl_mm.engine.guards.disk_space import disk_faults_as_sentences
    from snnssl_mm.engine.guards.run_lock import alone_in

    cfg = config_of(args)
    check_text_of(cfg)
    with files_kept():  # until PretrainedCheckHook has compared them
        check_weights_of(cfg)
        with errors_as_sentences():
            if not args.no_preflight:
                check_data(cfg)
            folder = Path(cfg.work_dir)
            require_writable(folder / "last_checkpoint", option="--work-dir")
            resume_from_whole(cfg)
        options = dict(files=False, batches=not args.no_preflight)
        check = dict(type="snnssl_mm.DataCheckHook", **options)
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), check]
        one = args.launcher == "none"  # several processes are one training
        lock = alone_in(folder) if one else contextlib.nullcontext()
        with disk_faults_as_sentences(cfg.work_dir), lock:
            train(cfg, args)


def train(cfg: Config, args: argparse.Namespace) -> None:
    """Build what the config describes, check what can be known by then, and train."""
    from snnssl_mm.checkpoints.loading import unwrapped
    from snnssl_mm.checks.preflight import build_loops, check_batches
    from snnssl_mm.engine.guards.disk_space import check_disk_space
    from snnssl_mm.engine.guards.worker_errors import explain_errors
    from snnssl_mm.engine.screen import opening

    runner = build_runner(cfg, args)
    model = unwrapped(runner.model)
    with errors_as_sentences():
        build_loops(runner)
        loop = runner.train_loop
        check_batches(loop.dataloader)
        check_disk_space(cfg, model, loop.max_epochs, loop.max_iters)
    runner.logger.info(opening(runner, model))
    with explain_errors(runner):
        runner.train()


if __name__ == "__main__":
    run_tool(main, again="--resume")
