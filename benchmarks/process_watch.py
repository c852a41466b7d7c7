"""Samples of a process's resources: memory, files, threads, disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import psutil

MIB = 2**20


def disk_use(folder: Path) -> int:
    """Sum the bytes of all files below a folder; ignore files that vanish meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def sample(process: psutil.Process, work_dir: Path) -> dict[str, float]:
    """Sample the resources of a process.

    Args:
        process: The process; its children are the data loader's workers.
        work_dir: Folder that it writes.

    Returns:
        ``rss_mib`` (resident memory of the process), ``uss_mib`` (its unshared part),
        ``tree_pss_mib`` (memory of the process and its children, shared parts counted
        once), ``workers``, ``open_files``, ``threads`` and ``disk_mib``.

    Raises:
        psutil.NoSuchProcess: If it has ended.
    """
    own = process.memory_full_info()
    tree, workers = own.pss, 0
    for child in process.children(recursive=True):
        try:
            tree += child.memory_full_info().pss
            workers += 1
        except psutil.NoSuchProcess:  # the epoch is over
            continue
    return {
        "rss_mib": own.rss / MIB,
        "uss_mib": own.uss / MIB,
        "tree_pss_mib": tree / MIB,
        "workers": workers,
        "open_files": process.num_fds(),
        "threads": process.num_threads(),
        "disk_mib": disk_use(work_dir) / MIB,
    }


def last_iteration(work_dir: Path) -> int:
    """Return the last logged iteration of a run; 0 before its first log line."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not files:
        return 0
    with files[-1].open("rb") as file:  # only the end, since this is called often
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 8192))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # cut off by the start or by the writer
            continue
        if "iter" in row:
            return int(row["iter"])
    return 0


def downsampled(
    samples: Sequence[dict[str, float]], count: int = 360
) -> dict[str, list[float]]:
    """Return at most ``count`` evenly spread samples, as one list per name."""
    step = max(1, -(-len(samples) // count))
    kept = [*samples[::step]]
    if samples and kept[-1] is not samples[-1]:
        kept.append(samples[-1])
    return {name: [round(one[name], 1) for one in kept] for name in kept[0]}
