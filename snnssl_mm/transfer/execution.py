"""Execution of a job in its own process; it leaves its row in its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.datasets.labelled_fraction import distinct_samples
from snnssl_mm.engine import launch
from snnssl_mm.engine.guards.run_lock import locked_folder
from snnssl_mm.engine.hooks.curve_hook import read_curve
from snnssl_mm.probing.plan import Request, plan
from snnssl_mm.recording.results_file import Row
from snnssl_mm.transfer.jobs import CONFIG, JOB, ROW
from snnssl_mm.transfer.suites import Metric, SuiteError


def execute(folder: Path) -> Row:
    """Execute the job that was written into a folder, and write its row there.

    An interrupted training resumes from its last checkpoint.

    Args:
        folder: Folder of the job, from :meth:`snnssl_mm.transfer.jobs.Job.write`.

    Raises:
        FolderInUse: If another process executes it.
        SuiteError: If there was no evaluation, or it lacks a metric of the task.
    """
    job = json.loads((folder / JOB).read_text())
    cfg = Config.fromfile(folder / CONFIG)
    metrics = {name: Metric(*pair) for name, pair in job["metrics"].items()}
    measured = probe(job, cfg, folder) if job["probe"] else train(job, cfg, folder)
    for evaluation in (measured, *measured["curve"]):
        evaluation["metrics"] = scaled(evaluation["metrics"], metrics)
    row = {**job["row"], **measured}
    write_atomically(folder / ROW, (json.dumps(row, indent=1) + "\n").encode())
    return row


def train(job: Mapping[str, Any], cfg: Config, folder: Path) -> Row:
    """Train a task's config; return what a row says about it.

    Raises:
        SuiteError: If the training was never evaluated.
    """
    launch.adjust(cfg, str(folder), resume="auto", pretrained=job["row"]["checkpoint"])
    launch.add_hook(cfg, "CurveHook")
    runner = launch.train(cfg)
    curve = read_curve(folder)
    if not curve:
        raise SuiteError(
            "the training ended without an evaluation, so that it has no metrics; "
            "lower train_cfg.val_begin or val_interval"
        )
    return {
        "labelled_images": distinct_samples(runner.train_dataloader.dataset),
        "metrics": curve[-1]["metrics"],
        "curve": curve,
        "seconds": curve[-1]["seconds"],
    }


def probe(job: Mapping[str, Any], cfg: Config, folder: Path) -> Row:
    """Evaluate a backbone by a probe; return what a row says about it."""
    about, began = job["row"], time.monotonic()
    request = Request(
        checkpoint=about["checkpoint"] or "",
        probes=[job["probe"]],
        starts=[job["start"]],
        k=[20],
        temperature=[0.07],
        recalibrate=True,
        cache=Path(job["cache"]),
        fraction=about["fraction"],
    )
    with locked_folder(folder):
        (task,) = plan(cfg, request, {"seed": about["seed"]})
        found = task.measure()
    seconds = found["seconds"] if task.trained else time.monotonic() - began
    return {
        "labelled_images": found.get("train_images", task.entries["train_images"]),
        "metrics": {k: v for k, v in found.items() if k.startswith("top")},
        "curve": [],
        "seconds": round(seconds, 1),
    }


def scaled(
    found: Mapping[str, float], metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """Return the metrics of an evaluation by their columns, from 0 to 1.

    mmdet's evaluator returns none if a detector found nothing; they are 0 then.

    Raises:
        SuiteError: If a metric is missing or out of range; lists the metrics found.
    """
    values = {}
    for column, (key, scale) in metrics.items():
        if found and key not in found:
            raise SuiteError(
                f"the evaluation has no {key!r}; correct metrics[{column!r}] in the "
                f"suite to one of {', '.join(found)}: the training is not repeated"
            )
        value = scale * max(found.get(key, 0.0), 0.0)
        if value > 1:
            raise SuiteError(
                f"{key} is {value:g}, expected 0 to 1; set metrics[{column!r}]="
                f"({key!r}, 0.01) in the suite: the training is not repeated"
            )
        values[column] = round(value, 6)
    return values


def execute_all(folders: Sequence[Path]) -> None:
    """Execute several jobs that share features, except those that have a row."""
    for folder in folders:
        if not (folder / ROW).exists():
            execute(folder)
