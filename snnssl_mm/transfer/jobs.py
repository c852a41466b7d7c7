"""Jobs of a suite: one training or probe of one task, fraction, entry and seed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.probing.digests import settings_digest
from snnssl_mm.recording.probe_names import labels_title
from snnssl_mm.recording.results_file import ResultsFile, Row, as_read
from snnssl_mm.transfer.entries import Entry, Weights
from snnssl_mm.transfer.suites import Suite, SuiteError, SuiteTask
from snnssl_mm.transfer.task_configs import job_config, random_start

KEY = ("suite", "task", "entry", "seed", "fraction")
"""Entries that identify a row of the results file."""
JOB, CONFIG, ROW = "job.json", "config.py", "row.json"
COSTS = {"config": 100.0, "trained": 20.0, "frozen": 1.0}
"""Relative costs by which jobs are ordered until rows say how long they take."""


class Job(NamedTuple):
    """One training or probe.

    Attributes:
        suite: Name of the suite.
        task: Its task.
        entry: Name of the entry.
        weights: The checkpoint; None for random weights and raw pixels.
        seed: Seed.
        fraction: Fraction of the labelled training images, or labels a class (> 1).
        cfg: Complete config.
        digest: Digest of the complete config and the checkpoint's SHA-256.
        settings: Digest of what all jobs of the task have in common: its config and
            metrics, without seed, fraction and weights.
    """

    suite: str
    task: SuiteTask
    entry: str
    weights: Weights | None
    seed: int
    fraction: float
    cfg: Config
    digest: str
    settings: str

    def __str__(self) -> str:
        """Name the job for the terminal."""
        share = "" if self.fraction == 1 else f", labels: {labels_title(self.fraction)}"
        return f"{self.task.name}, {self.entry}, seed {self.seed}{share}"

    @property
    def start(self) -> str:
        """Starting point of a probe: pretrained, random or pixels."""
        return "pretrained" if self.weights else self.entry

    @property
    def cost(self) -> float:
        """Rough relative cost, from the kind of the task."""
        kind = "frozen" if self.task.frozen else "trained"
        return COSTS[kind if self.task.probe else "config"]

    @property
    def group(self) -> tuple[Any, ...]:
        """Jobs with the same group share features, so one process executes them."""
        if not self.task.frozen:
            return tuple(self.key.values())
        same = self.weights.sha256 if self.weights else self.entry
        return (self.task.config, same, self.seed if same == "random" else None)

    @property
    def key(self) -> Row:
        """Entries that identify the row."""
        values = (self.suite, self.task.name, self.entry, self.seed, self.fraction)
        return dict(zip(KEY, values, strict=True))

    def folder(self, work_dir: Path) -> Path:
        """Return the folder of the job.

        It contains the digest, so that other settings do not resume its training.
        """
        names = (self.suite, self.task.name, f"{self.fraction:g}", self.entry)
        seed = f"seed{self.seed}-{self.digest}"
        return Path(work_dir, *map(folder_name, names), seed)

    def find(self, results: ResultsFile) -> Row | None:
        """Return the job's row; None if it is missing or :meth:`accepts` does not."""
        row = results.find(**self.key)
        return row if row and self.accepts(row) else None

    def accepts(self, row: Row) -> bool:
        """Whether a row is of this job, and has all its metrics.

        Rows of earlier versions do not say from which values theirs were read.
        """
        wanted = as_read(self.task.metrics)
        read = row.get("metric_keys", wanted)
        return (
            row.get("digest") == self.digest
            and set(wanted) <= set(row.get("metrics", ()))
            and all(read.get(column) == pair for column, pair in wanted.items())
            and all(row.get(name) == value for name, value in self.key.items())
        )

    def finished(self, work_dir: Path) -> Row | None:
        """Read the row that the job left in its folder; None if there is none yet."""
        file = self.folder(work_dir) / ROW
        if not file.is_file():
            return None
        row = json.loads(file.read_text())
        return row if self.accepts(row) else None

    def write(self, work_dir: Path, threads: int, command: str) -> Path:
        """Write config and description for the process that executes the job.

        Args:
            work_dir: Folder of all jobs.
            threads: Threads of that process, for the row.
            command: The running command, for the row.

        Returns:
            The job's folder.
        """
        folder = self.folder(work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ROW).unlink(missing_ok=True)  # its metrics are not the suite's
        self.cfg.dump(folder / CONFIG)
        about = {
            **self.key,
            "checkpoint": self.weights.checkpoint if self.weights else None,
            "sha256": self.weights.sha256 if self.weights else None,
            "metric_keys": self.task.metrics,
            "config": config_name(self.task.config),
            "digest": self.digest,
            "settings": self.settings,
            "threads": threads,
            "command": command,
        }
        job = {
            "row": about,
            "probe": self.task.probe,
            "start": self.start,
            "metrics": self.task.metrics,
            "cache": str(Path(work_dir, folder_name(self.suite), "features")),
        }
        write_atomically(folder / JOB, (json.dumps(job, indent=1) + "\n").encode())
        return folder


def config_name(path: str) -> str:
    """Name a config for the results: those of the package as ``configs/...``."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / ".mim", package.parent):
        if Path(path).absolute().is_relative_to(root / "configs"):
            return str(Path(path).absolute().relative_to(root))
    return path


def folder_name(text: str) -> str:
    """Replace what a folder's name should not contain.

    Example:
        >>> folder_name("LIF, both/views")
        'LIF_both_views'
    """
    return re.sub(r"[^\w.=+-]+", "_", text)


def expand(
    suite: Suite,
    entries: Sequence[Entry],
    seeds: Sequence[int],
    configs: Mapping[str, Config],
) -> list[Job]:
    """Return the jobs of a suite.

    Args:
        suite: The suite.
        entries: The entries; each with one checkpoint for all seeds, or one for each
            seed in their order.
        seeds: The seeds; a repeated one counts once.
        configs: Config of each task by its name, from
            :func:`snnssl_mm.transfer.task_configs.task_config`.

    Raises:
        SuiteError: If an entry has another number of checkpoints.
    """
    seeds = tuple(dict.fromkeys(seeds))
    for name, given in entries:
        if len(given) > 1 and len(given) != len(seeds):
            raise SuiteError(
                f"{name} has {len(given)} checkpoints for the seeds "
                f"{', '.join(map(str, seeds))}; give one for all seeds, or one for "
                "each in the order of --seeds"
            )
    jobs = []
    for task in suite.tasks:
        own = configs[task.name]
        settings = settings_digest(own.to_dict(), task.probe, task.metrics)
        for fraction in task.fractions:
            for index, seed in enumerate(seeds):
                cfg = job_config(task, own, seed, fraction)
                for entry in entries:
                    if entry.name == "pixels" and not task.frozen:
                        continue  # there is no network to train
                    weights = entry.of_seed(index)
                    used = cfg if weights or task.probe else random_start(cfg)
                    sha256 = weights.sha256 if weights else entry.name
                    share = fraction if task.frozen else None
                    digest = settings_digest(used.to_dict(), sha256, task.probe, share)
                    jobs.append(
                        Job(
                            *(suite.name, task, entry.name, weights, seed),
                            *(fraction, used, digest, settings),
                        )
                    )
    return jobs


def comparable_rows(
    jobs: Sequence[Job], results: ResultsFile
) -> tuple[list[Row], list[Row]]:
    """Return the rows of the jobs, and others that can be compared with them.

    Others are those of other entries, seeds, fractions and tasks, unless their task was
    run with other settings. Rows of earlier versions do not say theirs.
    """
    found = [row for job in jobs if (row := job.find(results))]
    keys = [job.key for job in jobs]
    settings = {(job.suite, job.task.name): job.settings for job in jobs}
    others = []
    for row in results.rows:
        wanted = settings.get((row["suite"], row["task"]))
        same = wanted is None or row.get("settings", wanted) == wanted
        if same and {name: row[name] for name in KEY} not in keys:
            others.append(row)
    return found, others


def longest_first(jobs: Sequence[Job], results: ResultsFile) -> list[list[Job]]:
    """Group jobs by process, and order the groups by their expected time.

    The times are those of rows of the same task; tasks without rows come first, since
    nothing is known about them.
    """
    groups: dict[tuple[Any, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    known = {
        row["task"]: row["seconds"]
        for row in results.rows
        if jobs and row["suite"] == jobs[0].suite
    }

    def expected(group: list[Job]) -> tuple[bool, float]:
        times = [known.get(job.task.name) for job in group]
        if None in times:
            return True, sum(job.cost for job in group)
        return False, sum(time or 0.0 for time in times)

    return sorted(groups.values(), key=expected, reverse=True)
