"""Runs of a transfer suite: in parallel on this machine, or as a Slurm job array."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.cli.shared import children, parallel
from snnssl_mm.recording.command import command_line

if TYPE_CHECKING:
    from snnssl_mm.recording.results_file import ResultsFile, Row
    from snnssl_mm.transfer.jobs import Job

LOG = "output.txt"


def run_missing(
    args: argparse.Namespace, jobs: Sequence[Job], results: ResultsFile
) -> None:
    """Collect rows that are finished, and compute the missing ones.

    Raises:
        ChildError: If jobs failed; the rows of the others are in the file.
    """
    from snnssl_mm.transfer.jobs import longest_first

    for job in jobs:
        if not job.find(results) and (row := job.finished(args.work_dir)):
            results.append(row)
    missing = [job for job in jobs if not job.find(results)]
    groups = longest_first(missing, results)
    bar = parallel.RunsBar(
        len(jobs),
        len(jobs) - len(missing),
        groups,
        lambda group: (sum(job.cost for job in group), len(group)),
    )

    def compute(group: list[Job], place: parallel.Place) -> list[Row]:
        folders = write(args, group, place.threads)
        words = ["transfer", "--execute", *map(str, folders)]
        if args.trust_checkpoint:
            words.append("--trust-checkpoint")
        parallel.start_child(words, folders[0] / LOG, place)
        return rows_of(group, args.work_dir)

    def report(group: list[Job], rows: list[Row]) -> str:
        for row in rows:
            results.append(row)
        return "\n".join(map(line, group, rows))

    with bar:
        if args.slurm is not None:
            run_by_slurm(args, groups, report, bar)
        else:
            number = args.jobs or len(gpus()) or parallel.cores()
            at = parallel.places(number, gpus())
            parallel.run_parallel(groups, compute, report, at, bar)


def write(args: argparse.Namespace, group: Sequence[Job], threads: int) -> list[Path]:
    """Write the descriptions of jobs; return their folders."""
    return [job.write(args.work_dir, threads, command_line()) for job in group]


def rows_of(group: Sequence[Job], work_dir: Path) -> list[Row]:
    """Read the rows that jobs left.

    Raises:
        ChildError: If one is missing.
    """
    rows = [job.finished(work_dir) for job in group]
    if None in rows:
        job = group[rows.index(None)]
        log = group[0].folder(work_dir) / LOG
        raise children.ChildError(f"{job} left no row; see {log}")
    return [row for row in rows if row]


def line(job: Job, row: Row) -> str:
    """Describe a result."""
    values = ", ".join(f"{k} {100 * v:.1f} %" for k, v in row["metrics"].items())
    return f"{job}: {values} in {row['seconds']:.0f} s"


def gpus() -> list[str]:
    """Return the names of the GPUs for ``CUDA_VISIBLE_DEVICES``."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in given.split(",")] if given else None
    return (names or list(map(str, range(torch.cuda.device_count()))))[
        : torch.cuda.device_count()
    ]


def run_by_slurm(
    args: argparse.Namespace,
    groups: list[list[Job]],
    report: Callable[[list[Job], list[Row]], str],
    bar: parallel.RunsBar,
) -> None:
    """Submit the jobs as an array, wait, and collect the rows; Ctrl-C cancels it.

    Raises:
        ChildError: If jobs left no row.
        SlurmError: If they cannot be submitted.
    """
    from snnssl_mm.transfer import slurm

    made = slurm.executor(args.work_dir / "slurm", args.slurm)
    if not groups:
        return
    threads = int(args.slurm.get("cpus_per_task", 1))
    folders = [[job.folder(args.work_dir) for job in group] for group in groups]
    known = slurm.submitted_before(folders)
    new = [index for index in range(len(groups)) if index not in known]
    for index in new:
        write(args, groups[index], threads)
    submitted = slurm.submit(made, [folders[index] for index in new])
    known.update(zip(new, submitted, strict=True))
    elements = [known[index] for index in range(len(groups))]
    bar.say(
        f"Slurm jobs: {len(new)} submitted, {len(groups) - len(new)} in the queue "
        f"already; the first is {elements[0].number}"
    )
    failures = []

    def finished(index: int) -> bool:
        return all(job.finished(args.work_dir) for job in groups[index])

    try:
        for index, complete in slurm.wait(elements, finished):
            if complete:
                rows = rows_of(groups[index], args.work_dir)
                bar.say(report(groups[index], rows))
            else:
                log = elements[index].log
                text = f"{groups[index][0]} failed in Slurm, see {log}:"
                failures.append(
                    children.ChildError(f"{text}\n{parallel.last_lines(log)}")
                )
                bar.say(f"failed: {failures[-1]}")
            bar.advance(groups[index])
    except BaseException:
        slurm.cancel(elements)
        raise
    parallel.raise_failures(failures)
