"""Train a config of any scope: pretraining, classification, detection, segmentation.

On several GPUs:
  torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --launcher pytorch
"""

from __future__ import annotations

import argparse
import gc

from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import (
    add_config_arguments,
    add_launcher_arguments,
    add_trust_argument,
)

RESUME_OPTION = "--resume"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; they take precedence over the config."""
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
        help="resume from CKPT, or from the last intact checkpoint in the work "
        "directory",
    )
    parser.add_argument(
        "--resume-schedule",
        choices=["refuse", "rebuild"],
        default="refuse",
        help="if global batch size, length or learning rate differ from the "
        "checkpoint's: refuse, or continue at the same point of the new schedule",
    )
    parser.add_argument(
        "--pretrained",
        metavar="CKPT",
        help="start from the backbone of this checkpoint, which must fit",
    )
    add_trust_argument(parser)
    parser.add_argument(
        "--amp",
        nargs="?",
        const="float16",
        choices=["float16", "bfloat16"],
        help="train in mixed precision; fp16 with loss scaling by default, always bf16 "
        "on a CPU",
    )
    parser.add_argument(
        "--graph",
        action="store_true",
        help="on one CUDA GPU: capture the training step of pretraining in a CUDA "
        "graph and replay it, which saves the host's time",
    )
    parser.add_argument(
        "--no-preflight",
        action="store_true",
        help="start without checking data, batches and evaluators first",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from the config's base_batch_size to the global "
        "batch size",
    )


def run(args: argparse.Namespace) -> None:
    """Train."""
    from snnssl_mm.engine import launch

    if not gc.get_freeze_count():
        # mmengine collects garbage for each dataset, and what was imported is none.
        gc.freeze()
    cfg = launch.adjust(
        load_config(args),
        args.work_dir,
        args.resume,
        args.resume_schedule,
        args.pretrained,
        args.amp,
        args.auto_scale_lr,
        args.graph,
    )
    launch.train(cfg, args.launcher, args.local_rank, not args.no_preflight)
