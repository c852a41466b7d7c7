#!/usr/bin/env python3
"""Measure the cost of each loss in training, for the same network and images.

usage: python benchmarks/training_cost.py DATA_ROOT [--config FILE] [--batch-size 64]

DATA_ROOT contains CIFAR-10 as JPEGs (train/<class>/*.jpg), or any folder of images. A
step is forward, backward and optimizer on two views of real images that are loaded
before. The losses run in turn on the same network; times are medians, and ratios to the
time-flattened loss are computed within each round. "CTL, pair by pair" is mmpretrain's
Barlow Twins loss over all pairs of slices; its value is first compared with ours.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import Run, digits, interleave, seconds_of, spread
from memory import PeakMemory, run_child
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, set_random_seed
from rivals.loss import PairwiseLoss
from torch import Tensor
from training_cost_table import plot_training_cost, training_cost_table

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.engine.hooks.keep_memory_hook import keep_freed_memory
from snnssl_mm.losses import (
    BoundaryTemporalLoss,
    CrossTemporalLoss,
    TimeFlattenedLoss,
)
from snnssl_mm.probing import build_eval_model
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.results_file import ResultsFile

CONFIG = "configs/selfsup/spikformer-4-384_ctl_folder32.py"
PAIRWISE = "CTL, pair by pair"
LOSSES: dict[str, Callable[[], torch.nn.Module]] = {
    "time-flattened": TimeFlattenedLoss,
    "BTL": BoundaryTemporalLoss,
    "CTL": CrossTemporalLoss,
}
NAMES = (*LOSSES, PAIRWISE)
KEY = ("config", "batch_size", "time_steps", "dims")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--dims", type=int, default=1024, help="of the embeddings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/training_cost.json")
    )
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args()


def config_of(args: argparse.Namespace) -> Config:
    """Read the config with the images, the batch and the embeddings asked for."""
    cfg = Config.fromfile(args.config)
    loader = cfg.train_dataloader
    loader.batch_size, loader.num_workers = args.batch_size, 0
    loader.dataset.data_root = str(args.data_root)
    loader.dataset.verify = "header"
    cfg.model.neck.out_channels = args.dims
    return cfg


def load_views(cfg: Config, model: Any) -> list[Tensor]:
    """Load two views of one batch of images, on the device."""
    loader = Runner.build_dataloader(copy.deepcopy(cfg.train_dataloader), seed=0)
    batch = model.data_preprocessor(next(iter(loader)), training=True)
    return list(batch["inputs"])


def loss_function(name: str, dims: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss of ``z_a``, ``z_b`` [T, B, D]."""
    if name != PAIRWISE:
        return LOSSES[name]()
    pairwise = PairwiseLoss(dims)
    return lambda z_a, z_b: pairwise.to(z_a.dtype)(torch.cat([z_a, z_b]))


def training_step(cfg: Config, model: Any, views: list[Tensor], name: str) -> Run:
    """Make a step (forward, backward, optimizer) of the model with a loss."""
    loss_of = loss_function(name, cfg.model.neck.out_channels)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer

    def run() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(*model.project(torch.cat(views)).chunk(2, dim=1))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def same_value(model: Any, views: list[Tensor], dims: int) -> float:
    """Compute the relative difference between the pairwise loss and CTL.

    Raises:
        AssertionError: If it is more than rounding.
    """
    with torch.no_grad():
        z = [part.double() for part in model.project(torch.cat(views)).chunk(2, dim=1)]
        ours, theirs = (loss_function(name, dims)(*z) for name in ("CTL", PAIRWISE))
    difference = float((ours - theirs).abs() / ours)
    assert difference < 1e-5, f"the losses differ by {difference:.2g}"
    return digits(difference, 2)


def prepare(args: argparse.Namespace) -> tuple[Config, Any, list[Tensor]]:
    """Build the network, in training mode, and load images."""
    cfg = config_of(args)
    set_random_seed(args.seed)
    model = build_eval_model(cfg)
    model.init_weights()
    return cfg, model.train(), load_views(cfg, model)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time all losses in turn; return the row."""
    start = time.monotonic()
    cfg, model, views = prepare(args)
    difference = same_value(model, views, args.dims)
    device = views[0].device.type
    runs = {name: training_step(cfg, model, views, name) for name in NAMES}
    for run in runs.values():
        run()
    times = interleave(
        runs,
        lambda _, run: seconds_of(run, 1, device),
        budget_s=0,
        rounds=(args.rounds, args.rounds),
    )
    steps, dims = model.backbone.time_steps, args.dims
    del runs, model
    flat = times["time-flattened"]
    costs = {
        name: {
            "seconds": spread(values),
            "times_flattened": spread(
                [own / base for own, base in zip(values, flat, strict=True)]
            ),
            "peak_mib": round(
                run_child(__file__, *sys.argv[1:], "--child", name)["mib"]
            ),
        }
        for name, values in times.items()
    }
    return {
        "config": args.config,
        "data": args.data_root.name,
        "batch_size": args.batch_size,
        "time_steps": steps,
        "dims": dims,
        "seed": args.seed,
        "rounds": args.rounds,
        "pairwise_differs_by": difference,
        "losses": costs,
        "seconds": round(time.monotonic() - start),
        "command": command_line(),
    }


def print_peak(args: argparse.Namespace) -> None:
    """Print the peak memory of a step, in the process that was started for it."""
    cfg, model, views = prepare(args)
    few = [view[:2] for view in views]
    training_step(cfg, model, few, args.child)()  # loads code and kernels
    run = training_step(cfg, model, views, args.child)
    with PeakMemory(views[0].device.type) as memory:
        run()
    print(json.dumps({"mib": memory.mib}))


def main() -> None:
    """Measure, write, draw."""
    args = parse_args()
    if args.child:
        print_peak(args)
        return
    with errors_as_messages():
        require_writable(args.out)
        results = ResultsFile(args.out, "training_cost", KEY)
        if args.batch_size < 2:
            raise ValueError(f"--batch-size must be at least 2, got {args.batch_size}")
        prepare(argparse.Namespace(**{**vars(args), "batch_size": 2}))
    keep_freed_memory()
    print(f"measuring on {describe_machine()['processor']}; needs an idle machine")
    results.append(measure(args))
    training_cost_table(results.rows).print()
    plot_training_cost(results.rows, args.out.with_suffix(".png"))
    print(f"wrote {args.out} and {args.out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
