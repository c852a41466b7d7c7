#!/usr/bin/env python3
"""Measure a pretraining step by batch size, as input of a plan for many GPUs.

usage: python benchmarks/step_times.py CONFIG [--batch-sizes 8 32 64] [--out FILE]

Measures on this machine, with random images: the complete step (preprocessing, forward
under bf16 autocast, backward, the config's optimizer) at each batch size of one GPU;
the loss alone, forward and backward, at each global batch size, since every process
computes it for the global batch; the bytes of communication; and the pairs of views per
second that a core makes from JPEGs of 500x375 pixels. ``benchmarks/training_plan.py``
computes the plan from the rows.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from harness import Run, digits, interleave, seconds_of, spread, warm_up
from memory import PeakMemory
from mmengine.optim import build_optim_wrapper
from mmengine.runner import set_random_seed
from rows.data_pipeline import Size, loading
from torch import Tensor, nn

from snnssl_mm import compat
from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments
from snnssl_mm.probing import build_eval_model
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile

KEY = ("config", "pixels", "with_cp")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[4, 8, 32, 64])
    parser.add_argument(
        "--global-batch-sizes", type=int, nargs="+", default=[512, 2048, 4096]
    )
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/step_times.json"))
    return parser.parse_args()


def training_step(model: Any, wrapper: Any, batch: int, pixels: int) -> Run:
    """Make a ``train_step`` on random images."""
    device = next(model.parameters()).device
    views = torch.randint(0, 256, (2, batch, 3, pixels, pixels), dtype=torch.uint8)
    data = {"inputs": list(views.to(device)), "data_samples": None}

    def run() -> Any:
        return model.train_step(data, wrapper)

    return run


def loss_step(loss: nn.Module, shape: tuple[int, int, int], device: str) -> Run:
    """Make the loss of two views' embeddings ``shape`` [T, B, D] and its gradient."""
    views = torch.randn(2, *shape, device=device, requires_grad=True)

    def run() -> Tensor:
        (gradient,) = torch.autograd.grad(loss(*views), views)
        return gradient

    return run


def timed(build: Any, device: str, rounds: int) -> dict[str, Any]:
    """Measure seconds and peak memory of a run, or return that memory ran out."""
    try:
        run = build()
        warm_up(run, device)
        with PeakMemory(device) as memory:
            run()
        times = interleave(
            {"step": run}, lambda _, run: seconds_of(run, 1, device), 0, (rounds,) * 2
        )
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    finally:
        torch.cuda.empty_cache()
    return {"seconds": spread(times["step"]), "peak_mib": round(memory.mib)}


def communication(model: Any, dims: int) -> dict[str, int]:
    """Count the communication of a process, in bytes and calls.

    ``gradient_bytes`` of a step, ``embedding_bytes`` of one image (both views, all
    time steps), ``norm_bytes`` of a step's synchronised batch norms, forward (2 C + 1
    numbers) and backward (2 C), and how many calls these are.
    """
    kind = nn.modules.batchnorm._BatchNorm
    norms = [module for module in model.modules() if isinstance(module, kind)]
    channels = sum(norm.num_features for norm in norms)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "gradient_bytes": 4 * trained,
        "embedding_bytes": 4 * 2 * model.backbone.time_steps * dims,
        "norm_bytes": 4 * (4 * channels + len(norms)),
        "norm_calls": 2 * len(norms),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything; return the row."""
    start = time.monotonic()
    cfg = load_config(args)
    set_random_seed(0)
    torch.backends.cudnn.benchmark = True  # as the config's runner does
    model = build_eval_model(cfg)
    model.init_weights()
    model.train()
    device = next(model.parameters()).device.type
    dims = cfg.model.neck.out_channels
    loss, steps = model.head.loss_module, model.backbone.time_steps
    losses = {
        batch: timed(
            lambda batch=batch: loss_step(loss, (steps, batch, dims), device),
            device,
            args.rounds,
        )
        for batch in sorted({*args.batch_sizes, *args.global_batch_sizes})
    }
    settings = {**cfg.optim_wrapper, **compat.amp_optim_wrapper_cfg("bfloat16")}
    wrapper = build_optim_wrapper(model, settings)
    wrapper.initialize_count_status(model, 0, 10**6)
    measured = {
        batch: timed(
            lambda batch=batch: training_step(model, wrapper, batch, args.pixels),
            device,
            args.rounds,
        )
        for batch in sorted(args.batch_sizes)
    }
    images = Size("imagenet_224.py", images=32, height=375, width=500, files=True)
    load = loading(images)
    load()
    seconds = min(seconds_of(load, 1, "cpu") for _ in range(args.rounds))
    return {
        "config": args.config,
        "pixels": args.pixels,
        "with_cp": bool(cfg.model.backbone.get("with_cp", False)),
        "precision": "bfloat16 autocast",
        "parameters": sum(p.numel() for p in model.parameters()),
        "time_steps": steps,
        "dims": dims,
        "steps": {str(batch): result for batch, result in measured.items()},
        "losses": {str(batch): result for batch, result in losses.items()},
        "communication": communication(model, dims),
        "pairs_per_second_of_a_core": digits(images.images / seconds),
        "rounds": args.rounds,
        "seconds": digits(time.monotonic() - start),
        "command": command_line(),
    }


def main() -> None:
    """Measure, write."""
    args = parse_args()
    compat.apply()
    require_writable(args.out)
    results = ResultsFile(args.out, "step_times", KEY)
    row = measure(args)
    results.append(row)
    for what in ("steps", "losses"):
        for batch, result in row[what].items():
            print(what, batch, result)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
