#!/usr/bin/env python3
"""Kill trainings at random moments, resume them, compare with an uninterrupted one.

usage: python benchmarks/kills.py --kills 20 --epochs 5 --out FILE.json

A small pretraining runs once by snnssl train without interruption. For every kill it
starts again, is killed with its workers (SIGKILL) during an iteration, the writing of a
checkpoint, or an evaluation (in turn), and is resumed with --resume. At the end
weights, optimizer, schedules and all logged numbers must be bit-identical. The
trainings are forked from this process, which has imported everything.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kill_phases import PHASES, Event, Phases, read_event
from mmengine.config import Config
from run_state import differences

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.main import main as main_of_command
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.utils import register_all_modules

ROOT = Path(__file__).parents[1]
TRIES = 5
CONFIG = """
_base_ = 'ROOT/configs/selfsup/spikformer_ctl.py'
model = dict(
    backbone=dict(
        arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1),
        time_steps=2,
        neuron=dict(backend='torch')),
    neck=dict(in_channels=16, hid_channels=16, out_channels=8))
train_cfg = dict(max_epochs=EPOCHS)
scenes = dict(data_root='SCENES', num_train=24, num_test=16)
train_dataloader = dict(
    batch_size=8, num_workers=2, persistent_workers=False, dataset=scenes)
eval_train_dataloader = dict(dataset=scenes)
eval_test_dataloader = dict(dataset=scenes)
default_hooks = dict(
    checkpoint=dict(interval=1),
    logger=dict(interval=1), health=dict(interval=1), knn=dict(interval=1))
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
"""


def config_text(folder: Path, epochs: int) -> str:
    """Return the config of the small pretraining, with its images in a folder."""
    scenes = folder / "scenes"
    values = {"ROOT": ROOT, "EPOCHS": epochs, "SCENES": scenes}
    text = CONFIG
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


class Kill(NamedTuple):
    """Moment of a kill: a share of the ``index``-th phase of a kind."""

    phase: str
    index: int
    share: float
    seconds: float


class Training:
    """``snnssl train`` in a forked process of its own group.

    Args:
        config: File.
        work_dir: Work directory; output goes to ``<work_dir>.log``.
        options: Further options of ``snnssl train``.
    """

    def __init__(self, config: Path, work_dir: Path, *options: str) -> None:
        self.log = work_dir.with_suffix(".log")
        self.log.unlink(missing_ok=True)
        line = ["train.py", str(config), "--work-dir", str(work_dir), *options]
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            self.become(line, writing)
        os.close(writing)
        self.pipe = os.fdopen(reading)

    def become(self, line: list[str], pipe: int) -> None:
        """Run the training in the forked process; never return."""
        code = 1
        try:
            os.setsid()
            out = os.open(self.log, os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1)
            os.dup2(out, 2)
            Phases(pipe).install()
            Config.pretty_text = ""  # yapf takes a second to format it for the log
            sys.argv = line
            main_of_command("train")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def events(self) -> Iterator[Event]:
        """Iterate over the reported phases until the process ends."""
        return map(read_event, self.pipe)

    def wait(self) -> int:
        """Wait for the end; return the exit status, negative if it was killed."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pipe.close()
        return code

    def finish(self) -> list[Event]:
        """Wait until the training ends.

        Raises:
            RuntimeError: If it fails.
        """
        events = list(self.events())
        if self.wait() != 0:
            raise RuntimeError(f"the training failed:\n{self.log.read_text()[-2000:]}")
        return events

    def kill(self, kill: Kill) -> bool:
        """Kill the training in a phase; return False if the phase was over before."""
        last = None
        for last in self.events():
            if last[1:] == (kill.phase, kill.index, True):
                time.sleep(kill.share * kill.seconds)
                os.killpg(self.pid, signal.SIGKILL)
        hit = last is not None and last[1:] == (kill.phase, kill.index, True)
        return self.wait() == -signal.SIGKILL and hit


def choose(events: list[Event], phase: str, rng: random.Random) -> Kill:
    """Choose a moment of a phase, from the times of an undisturbed run."""
    begins = {e.index: e.seconds for e in events if e.phase == phase and e.begins}
    ends = {e.index: e.seconds for e in events if e.phase == phase and not e.begins}
    index = rng.randrange(len(ends))
    return Kill(phase, index, rng.random(), ends[index] - begins[index])


def resumed_from(log: str) -> str:
    """Read from a log from which checkpoint a training resumed."""
    loaded = [x for x in log.splitlines() if "Load checkpoint from" in x]
    if loaded:
        return Path(loaded[0].split()[-1]).name
    return "the beginning" if "starts from the beginning" in log else "unknown"


def try_kill(config: Path, work_dir: Path, kill: Kill) -> dict[str, Any] | None:
    """Train, kill, resume; return what happened, None if the kill came too late."""
    if not Training(config, work_dir).kill(kill):
        return None
    files = sorted(work_dir.glob("epoch_*.pth"))
    parts = [part.stat().st_size for part in work_dir.glob(".*.pth.*.part")]
    resumed = Training(config, work_dir, "--resume")
    resumed.finish()
    return {
        "class": kill.phase,
        "index": kill.index,
        "share": round(kill.share, 3),
        "whole_checkpoints": [file.name for file in files],
        "bytes_of_unfinished": parts,
        "resumed_from": resumed_from(resumed.log.read_text()),
        "left_over": [part.name for part in work_dir.glob(".*.part")],
    }


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="how many (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--epochs", type=int, default=3, help="of a training (3)")
    parser.add_argument("--out", type=Path, help="results file; it is continued")
    return parser.parse_args()


def main() -> None:
    """Run all kills; exit with status 1 if a resumed training differs."""
    args = parse_args()
    out = args.out or Path(tempfile.mkdtemp(), "kills.json")
    require_writable(out)
    register_all_modules()  # the forked trainings inherit the imports
    gc.freeze()  # and their garbage collector skips these objects
    results = ResultsFile(out, "kills", ("seed", "kill"))
    with tempfile.TemporaryDirectory() as folder:
        config, reference = Path(folder, "tiny.py"), Path(folder, "reference")
        config.write_text(config_text(Path(folder), args.epochs))
        events = Training(config, reference).finish()
        for number in range(args.kills):
            if results.find(seed=args.seed, kill=number):
                continue
            rng = random.Random(f"{args.seed} {number}")
            began, row = time.monotonic(), None
            for attempt in range(TRIES):
                work_dir = Path(folder, f"kill_{number}_{attempt}")
                kill = choose(events, PHASES[number % len(PHASES)], rng)
                row = try_kill(config, work_dir, kill)
                if row is not None:
                    break
            else:
                raise RuntimeError(f"kill {number} came too late {TRIES} times")
            different = differences(reference, work_dir, f"epoch_{args.epochs}.pth")
            row |= {"equal": not different, "different": different}
            took = {"too_late": attempt, "seconds": round(time.monotonic() - began, 1)}
            about = {"seed": args.seed, "kill": number, "command": command_line()}
            row = results.append(about | row | took)
            print({k: v for k, v in row.items() if k != "command"}, flush=True)
    rows = [r for r in results.rows if r["seed"] == args.seed][: args.kills]
    equal = sum(row["equal"] for row in rows)
    print(f"{equal} of {len(rows)} resumed trainings equal the reference: {out}")
    sys.exit(equal != len(rows))


if __name__ == "__main__":
    main()
