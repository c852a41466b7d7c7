#!/usr/bin/env python3
"""Measure how cost grows with T, batch, input size, embeddings and processes.

usage: python benchmarks/growth.py [--quick] [--out FILE.json] [--note TEXT]

Seconds and peak memory of forward and backward passes: of the Cross Temporal Loss (by
default T = 4, B = 256, D = 1024), of the same loss computed pair by pair with
mmpretrain's loss, and of a Spikformer (two blocks of 128 channels; by default T = 4, 8
images of 32x32; one image if its size varies). A series is measured in one process,
from small to large, since peak memory never decreases. The exponent in the legend is
fitted to the larger half of a series. With N processes of one thread each (gloo), each
process has a batch of 64, and the loss uses the gathered batch. Writes
results/growth-<machine>.json and a plot.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from harness import Run, digits, seconds_of, warm_up
from memory import PeakMemory, run_child
from rows.loss import Size as LossSize
from rows.loss import ours, pairwise
from run import RESULTS, machine_name

from snnssl_mm.losses import CrossTemporalLoss
from snnssl_mm.models import Spikformer
from snnssl_mm.recording.machine import describe_machine

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CTL, PAIRS, NETWORK = "CTL", "CTL pair by pair", "Spikformer"
COLORS = {CTL: "C0", PAIRS: "C1", NETWORK: "C2"}
PANELS: dict[str, dict[str, tuple[int, ...]]] = {
    "time steps T": {
        CTL: (1, 2, 4, 8, 16, 32),
        PAIRS: (1, 2, 4, 8, 16),
        NETWORK: (1, 2, 4, 8, 16),
    },
    "batch size": {CTL: (32, 64, 128, 256, 512, 1024), NETWORK: (4, 8, 16, 32, 64)},
    "input size, pixels a side": {NETWORK: (32, 64, 128, 256, 512)},
    "embedding dimension D": {
        CTL: (256, 512, 1024, 2048, 4096, 8192),
        PAIRS: (256, 512, 1024, 2048),
    },
    "processes": {CTL: (1, 2, 4, 8)},
}
PER_PROCESS = 64
REPEATS = 3


def loss_run(series: str, panel: str, value: int, device: str) -> Run:
    """Make the forward and backward pass of a loss, with one size varied."""
    name = {"time steps T": "steps", "batch size": "batch"}.get(panel, "dims")
    size = LossSize(4, 256, 1024, True, device)._replace(**{name: value})
    build = ours if series == CTL else pairwise
    return build(CrossTemporalLoss, size)


def network_run(panel: str, value: int, device: str) -> Run:
    """Make the forward and backward pass of a Spikformer, with one size varied."""
    sizes = {"time steps T": 4, "batch size": 8, "input size, pixels a side": 32}
    sizes[panel] = value
    steps, batch, pixels = sizes.values()
    torch.manual_seed(0)
    arch = dict(embed_dims=128, depth=2, num_heads=4)
    batch = 1 if panel.startswith("input") else batch  # of large images
    model = Spikformer(arch, time_steps=steps).to(device).train()
    images = torch.randn(batch, 3, pixels, pixels, device=device)
    parameters = list(model.parameters())

    def run() -> Any:
        return torch.autograd.grad(model(images)[0].square().mean(), parameters)

    return run


def measure_series(
    panel: str, series: str, values: tuple[int, ...], device: str
) -> Iterator[dict[str, float]]:
    """Measure seconds (the fastest of three) and peak memory, from small to large."""
    for value in values:
        if series == NETWORK:
            run = network_run(panel, value, device)
        else:
            run = loss_run(series, panel, value, device)
        if value == values[0]:
            run()  # loads the kernels
        with PeakMemory(device) as memory:
            run()
        _, number = warm_up(run, device)
        seconds = min(seconds_of(run, number, device) for _ in range(REPEATS))
        mib = digits(max(0.0, memory.mib))  # 0 if the run only reuses memory
        yield {"value": value, "seconds": digits(seconds), "peak_mib": mib}


def one_process(rank: int, world: int, rendezvous: str, results: Any) -> None:
    """Time the loss of the gathered batch in one of several processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{rendezvous}", None, world, rank)
    run = ours(CrossTemporalLoss, LossSize(4, PER_PROCESS, 1024, True, "cpu"))
    times = []
    with PeakMemory("cpu") as memory:
        for _ in range(REPEATS + 1):
            dist.barrier()
            start = time.perf_counter()
            run()
            dist.barrier()
            times.append(time.perf_counter() - start)
    if rank == 0:
        results.put((min(times[1:]), memory.mib))
    dist.barrier()
    dist.destroy_process_group()


def measure_processes(worlds: tuple[int, ...]) -> Iterator[dict[str, float]]:
    """Measure a step of several processes, and the peak memory of rank 0."""
    context = mp.get_context("spawn")
    for world in worlds:
        results = context.SimpleQueue()
        with tempfile.TemporaryDirectory() as folder:
            arguments = (world, f"{folder}/rendezvous", results)
            mp.spawn(one_process, arguments, nprocs=world)
        seconds, mib = results.get()
        yield {"value": world, "seconds": digits(seconds), "peak_mib": digits(mib)}


def exponent(points: list[dict[str, float]], key: str) -> float:
    """Fit the log-log slope of ``key`` over the value to the larger half of points."""
    chosen = points[-max(2, (len(points) + 1) // 2) :]
    logs = np.log([[p["value"], max(p[key], 1e-9)] for p in chosen])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def plot(report: dict[str, Any], file: Path) -> None:
    """Draw seconds (top) and memory (bottom), one column per varied size."""
    panels = list(report["panels"])
    size = (3.2 * len(panels), 7)
    figure, axes = plt.subplots(2, len(panels), figsize=size, sharex="col")
    for column, panel in zip(axes.T, panels, strict=True):
        for axis, key in zip(column, ("seconds", "peak_mib"), strict=True):
            for series, points in report["panels"][panel].items():
                shown = [p for p in points if p[key] > 0]
                label = f"{series}, exponent {exponent(points, key):.2f}"
                x, y = ([p[k] for p in shown] for k in ("value", key))
                style = dict(color=COLORS[series], marker="o", markersize=3)
                axis.loglog(x, y, label=label, **style)
            axis.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
            axis.grid(alpha=0.3)
            values = {p["value"] for s in report["panels"][panel].values() for p in s}
            axis.set_xticks(sorted(values), map(str, sorted(values)), rotation=90)
            axis.minorticks_off()
        column[1].set_xlabel(panel)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("peak memory, MiB")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def panels_of(quick: bool) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the values to measure; only the two smallest if ``quick``."""
    if not quick:
        return PANELS
    return {
        panel: {name: values[:2] for name, values in series.items()}
        for panel, series in PANELS.items()
    }


def main() -> None:
    """Measure all series, write the results, and plot them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few points, to try out")
    parser.add_argument("--out", type=Path, help="results as JSON; plot: .png")
    parser.add_argument("--note", default="", help="what a reader should know")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    panels = panels_of(args.quick)
    if args.child:
        panel, series = args.child
        values = panels[panel][series]
        print(json.dumps(list(measure_series(panel, series, values, device))))
        return
    machine = describe_machine()
    out = args.out or RESULTS / f"growth-{machine_name(machine)}.json"
    report: dict[str, Any] = {
        "what": "growth",
        "command": shlex.join(["python", "benchmarks/growth.py", *sys.argv[1:]]),
        "machine": machine,
        "note": args.note,
        "device": device,
        "panels": {},
    }
    options = ["--quick"] if args.quick else []
    for panel, series in panels.items():
        report["panels"][panel] = {}
        for name, values in series.items():
            if panel == "processes":
                points: Any = list(measure_processes(values))
            else:
                points = run_child(__file__, *options, "--child", panel, name)
            report["panels"][panel][name] = points
            slopes = (f"{exponent(points, key):.2f}" for key in ("seconds", "peak_mib"))
            print(f"{panel}, {name}: seconds ~ {next(slopes)}, memory ~ {next(slopes)}")
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(report, indent=1) + "\n")
    plot(report, out.with_suffix(".png"))
    print(f"wrote {out} and {out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
