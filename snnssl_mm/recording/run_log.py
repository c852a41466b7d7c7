"""Scalars that mmengine logged during a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_scalars(work_dir: Path) -> list[list[dict[str, Any]]]:
    """Read the scalars of a work directory: a list for each time it was started.

    Args:
        work_dir: Work directory that holds ``<time>/vis_data/scalars.json``.

    Raises:
        FileNotFoundError: If there is no log.
    """
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not files:
        raise FileNotFoundError(
            f"{work_dir} holds no <time>/vis_data/scalars.json; give the work "
            "directory of a run of tools/train.py"
        )
    return [list(rows_of(file)) for file in files]


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """Read a file of scalars up to where a killed run stopped writing."""
    for line in file.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            return
        if isinstance(row, dict):
            yield row
