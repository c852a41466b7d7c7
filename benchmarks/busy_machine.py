#!/usr/bin/env python3
"""Measure the cost of spinning threads on a quiet and on a busy machine.

usage: python benchmarks/busy_machine.py [--out FILE.json] [--rounds 3] [--seconds 6]

Training steps of the main job's model (64 digit-scene-sized images, two views) run in a
separate process for each setting of the threads, alone and together with two processes
that each keep a core busy. The settings take turns within a round; the result is the
median over the rounds of the mean seconds per step. "default" is what ``import
snnssl_mm`` sets; "libgomp's own" is the default without it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

BURNERS = 2
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "libgomp's own": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
}
RESULTS = Path(__file__).parent / "results" / "busy_machine.json"


def train_steps() -> None:
    """In the child process, warm up, read the seconds to train from stdin, train."""
    import snnssl_mm  # isort: skip  # noqa: F401  before torch: it sets threads
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from snnssl_mm.registry import MODELS

    root = Path(__file__).parents[1]
    cfg = Config.fromfile(root / "configs/selfsup/spikformer_ctl.py")
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    views = [torch.rand(cfg.train_dataloader.batch_size, 3, 16, 16) for _ in range(2)]

    def step() -> None:
        optimizer.zero_grad()
        model(views, mode="loss")["loss"].backward()
        optimizer.step()

    for _ in range(3):
        step()
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())
    start, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds or steps < 3:
        step()
        steps += 1
    print(passed / steps, flush=True)


@contextmanager
def burners(number: int) -> Iterator[None]:
    """Run processes that keep a core busy each."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds_per_step(setting: Mapping[str, str], busy: int, seconds: float) -> float:
    """Measure seconds per step in a child process with a setting of the threads."""
    ours = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    with subprocess.Popen(
        [sys.executable, __file__, "--child"],
        env={**kept, **setting},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin
        assert child.stdout
        while child.stdout.readline().strip() != "ready":
            if child.poll() is not None:
                raise SystemExit("error: the training process died, see above")
        with burners(busy):
            print(seconds, file=child.stdin, flush=True)
            return float(child.stdout.readline())


def main() -> None:
    """Measure all settings and write the results file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each timing")
    parser.add_argument("--spin", type=int, nargs="*", default=[], help="spin counts")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train_steps()
        return
    settings = {
        **SETTINGS,
        **{f"spin {n}": {"GOMP_SPINCOUNT": str(n)} for n in args.spin},
    }
    found: dict[str, list[list[float]]] = {name: [[], []] for name in settings}
    for _ in range(args.rounds):
        for name, setting in settings.items():
            for index, busy in enumerate((0, BURNERS)):
                taken = seconds_per_step(setting, busy, args.seconds)
                found[name][index].append(taken)
                print(f"{name}, {busy} burners: {taken:.3f} s a step", flush=True)
    rows = [
        {
            "setting": name,
            "environment": dict(settings[name]),
            "quiet": round(statistics.median(quiet), 4),
            "busy": round(statistics.median(busy), 4),
            "all": [[round(t, 4) for t in times] for times in (quiet, busy)],
        }
        for name, (quiet, busy) in found.items()
    ]
    from snnssl_mm.recording.machine import describe_machine

    report = {
        "what": "busy_machine",
        "command": " ".join(["python", "benchmarks/busy_machine.py", *sys.argv[1:]]),
        "machine": describe_machine(),
        "burners": BURNERS,
        "rows": rows,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
