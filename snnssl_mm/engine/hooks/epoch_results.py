"""A results file in the work directory with a row for every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnssl_mm.recording.results_file import ResultsFile


def open_epoch_results(runner: Any, name: str, what: str) -> ResultsFile:
    """Open a file of the work directory for the epochs that are to come.

    A run that starts anew, or from an earlier checkpoint, drops the rows of the
    epochs that it repeats.

    Args:
        runner: At the start of training, resumed or not.
        name: Of the file.
        what: See ResultsFile; its rows are told apart by ``epoch``, 1 being the first.

    Raises:
        ValueError: If the file holds something else.
    """
    results = ResultsFile(Path(runner.work_dir, name), what, ("epoch",))
    kept = [row for row in results.rows if row["epoch"] <= runner.epoch]
    if kept != results.rows:
        results.rows = kept
        results.write()
    return results
