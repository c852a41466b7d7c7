"""Results files in the work directory with one row per epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnssl_mm.recording.results_file import ResultsFile


def open_epoch_results(runner: Any, name: str, what: str) -> ResultsFile:
    """Open a results file in the work directory; drop the rows of repeated epochs.

    A new run, or one that resumes from an earlier checkpoint, repeats epochs.

    Args:
        runner: Runner at the start of training, resumed or not.
        name: Name of the file.
        what: Kind of the ResultsFile; its rows have the key ``epoch``, from 1 on.

    Raises:
        ValueError: If the file has another kind.
    """
    results = ResultsFile(Path(runner.work_dir, name), what, ("epoch",))
    kept = [row for row in results.rows if row["epoch"] <= runner.epoch]
    if kept != results.rows:
        results.rows = kept
        results.write()
    return results
