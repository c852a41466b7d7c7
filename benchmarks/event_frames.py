#!/usr/bin/env python3
"""Measure how many events a second become frames, on one core.

usage: python benchmarks/event_frames.py [--events N] [--out FILE]

Uniformly random events, which is the hardest case for the cache. Where spikingjelly has
the same representation, its frames must be equal before anything is timed; both run in
turn, so that other load on the machine meets each of them.
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import digits, interleave, seconds_of, spread, warm_up
from rivals.events import spikingjelly_frames

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.datasets import EVENT, EventFrames, Recording
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.machine import measured_load
from snnssl_mm.recording.results_file import ResultsFile

KEY = ("sensor", "by", "value", "events")
SENSORS = {"N-MNIST": (34, 34), "DVS128": (128, 128), "VGA": (480, 640)}
"""Height and width."""
KINDS = (("time", "count"), ("count", "count"), ("time", "voxel"))
STEPS, DURATION = 4, 1_000_000  # time steps; microseconds


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/event_frames.json"))
    return parser.parse_args()


def random_recording(count: int, height: int, width: int) -> Recording:
    """Draw uniformly random events."""
    draw = np.random.default_rng(0)
    events = np.empty(count, EVENT)
    for name, limit in (("x", width), ("y", height), ("t", DURATION), ("p", 2)):
        events[name] = draw.integers(0, limit, count)
    events["t"].sort()
    return Recording(events, height, width)


def measure(sensor: str, by: str, value: str, args: argparse.Namespace) -> Any:
    """Compare and time one representation; return the row."""
    recording = random_recording(args.events, *SENSORS[sensor])
    transform = EventFrames(STEPS, by=by, value=value)
    runs: dict[str, Any] = {
        "ours": lambda: transform({"recording": recording})["img"],
    }
    if value == "count":
        runs["spikingjelly"] = partial(spikingjelly_frames, recording, STEPS, by)
        np.testing.assert_array_equal(*(run() for run in runs.values()))
    numbers = {name: warm_up(run, "cpu")[1] for name, run in runs.items()}
    with measured_load() as load:
        times = interleave(
            runs,
            lambda name, run: seconds_of(run, numbers[name], "cpu"),
            0,
            (args.rounds,) * 2,
        )
    row = {
        "sensor": sensor,
        "by": by,
        "value": value,
        "events": args.events,
        "time_steps": STEPS,
        "events_per_second": {
            name: spread([args.events / seconds for seconds in found])
            for name, found in times.items()
        },
        "rounds": args.rounds,
        "load": load,
        "command": command_line(),
    }
    if "spikingjelly" in times:
        pairs = zip(times["spikingjelly"], times["ours"], strict=True)
        row["times_ours"] = spread([other / own for other, own in pairs])
    return row


def main() -> None:
    """Measure, write."""
    args = parse_args()
    require_writable(args.out)
    results = ResultsFile(args.out, "event_frames", KEY)
    for sensor, (by, value) in itertools.product(SENSORS, KINDS):
        row = results.append(measure(sensor, by, value, args))
        rates = row["events_per_second"]
        millions = {name: digits(r["median"] / 1e6, 3) for name, r in rates.items()}
        print(sensor, by, value, "million events a second:", millions)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
