"""Scalars that mmengine logged during a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_scalars(work_dir: Path) -> list[list[dict[str, Any]]]:
    """Read the scalars of a work directory: one list for each start of the run.

    Args:
        work_dir: Work directory that holds ``<time>/vis_data/scalars.json``.

    Raises:
        FileNotFoundError: If the directory has no log.
    """
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not files:
        raise FileNotFoundError(
            f"{work_dir} contains no <time>/vis_data/scalars.json; give the work "
            "directory of a run of `snnssl train`"
        )
    return [list(scalar_rows(file)) for file in files]


def scalar_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Read a scalars file up to a line that a killed run left incomplete."""
    for line in file.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            return
        if isinstance(row, dict):
            yield row
