#!/usr/bin/env python3
"""Train anything of the three scopes: pretraining, detection, segmentation.

usage: python tools/train.py configs/selfsup/spikformer_ctl.py [options]

On several GPUs: torchrun --nproc-per-node=8 tools/train.py CONFIG --launcher pytorch
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from snnssl_mm import compat
from snnssl_mm.checkpoints import match_backbone, read_checkpoint, unwrapped
from snnssl_mm.checks.config import check_text
from snnssl_mm.checks.config.names import check_names
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.data_error import PreflightError
from snnssl_mm.checks.preflight import check_batches
from snnssl_mm.engine.disk_space import check_disk_space, disk_faults_as_sentences
from snnssl_mm.engine.training_stopped import TrainingStopped
from snnssl_mm.engine.worker_errors import explain_errors
from snnssl_mm.resuming import CheckpointError, resume_from_whole
from snnssl_mm.tooling import (
    add_config_arguments,
    add_launcher_arguments,
    add_trust_argument,
    build_runner,
    errors_as_sentences,
    load_config,
    require_writable,
)


def parse_args() -> argparse.Namespace:
    """Read the command line; it takes precedence over the config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser)
    add_launcher_arguments(parser)
    parser.add_argument(
        "--work-dir", help="where logs and checkpoints go; work_dirs/<config's name>"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="continue from CKPT, or from the last checkpoint of the work directory",
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
    return parser.parse_args()


def config_of(args: argparse.Namespace) -> Config:
    """Read the config file and apply the command line to it."""
    cfg = load_config(args)
    cfg.work_dir = (
        args.work_dir
        or cfg.get("work_dir")
        or str(Path("work_dirs", Path(args.config).stem))
    )
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    if args.pretrained:
        start_from(cfg, args.pretrained)
    check_pretrained(cfg)
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


def check_pretrained(cfg: Config) -> None:
    """Have a backbone of BackboneInit compared with its file before training."""
    init_cfg = (cfg.model.get("backbone") or {}).get("init_cfg")
    if isinstance(init_cfg, dict) and init_cfg.get("type") == "snnssl_mm.BackboneInit":
        options = {key: value for key, value in init_cfg.items() if key != "type"}
        hook = dict(type="snnssl_mm.PretrainedCheckHook", **options)
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]


def check_text_of(cfg: Config) -> None:
    """Refuse names and arguments that would fail later; log what else looks wrong."""
    problems = check_text(cfg)  # makes the config's scope the one in force
    if fatal := [str(p) for p in check_names(cfg) if p.level == "error"]:
        raise SystemExit("\n".join(fatal))
    for problem in problems:
        print_log(str(problem), logger="current", level=logging.WARNING)


def enable_amp(cfg: Config, dtype: str) -> None:
    """Swap the optimizer wrapper for one with autocast; keep the user's loss scale."""
    amp = compat.amp_optim_wrapper_cfg(dtype)
    scale = cfg.optim_wrapper.pop("loss_scale", None)
    cfg.optim_wrapper.pop("dtype", None)
    cfg.optim_wrapper.update(amp)
    if scale is not None and "loss_scale" in amp:
        cfg.optim_wrapper.loss_scale = scale


def enable_auto_scale_lr(cfg: Config) -> None:
    """Switch on mmengine's learning-rate scaling."""
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
    cfg = config_of(args)
    check_text_of(cfg)
    with errors_as_sentences():
        start = None if cfg.get("resume") else cfg.get("load_from")
        for checkpoint in filter(None, (args.pretrained, start)):
            read_checkpoint(checkpoint)
        if not args.no_preflight:
            check_data(cfg)
        require_writable(Path(cfg.work_dir, "last_checkpoint"))
        resume_from_whole(cfg)
    options = dict(files=False, batches=not args.no_preflight)
    check = dict(type="snnssl_mm.DataCheckHook", **options)
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), check]
    with disk_faults_as_sentences(cfg.work_dir):
        train(cfg, args)


def train(cfg: Config, args: argparse.Namespace) -> None:
    """Build what the config describes, check what can be known by then, and train."""
    runner = build_runner(cfg, args)
    model = unwrapped(runner.model)
    if args.pretrained:
        init_cfg = cfg.model.backbone.init_cfg
        with errors_as_sentences():
            match_backbone(model.backbone, args.pretrained, init_cfg.strict)
    loop = runner.train_loop
    with errors_as_sentences():
        check_batches(loop.dataloader)
        check_disk_space(cfg, model, loop.max_epochs, loop.max_iters)
    try:
        with explain_errors(runner):
            runner.train()
    except (CheckpointError, TrainingStopped, PreflightError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
