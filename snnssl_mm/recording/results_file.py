"""Results files: JSON rows that are appended one by one and never computed twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.probe_names import rows_of_monitors, todays_names

Row = dict[str, Any]


class ResultsFile:
    """A JSON file ``{"what", "machine", "rows"}`` that grows row by row.

    Every row is on the disk, whole, once :meth:`append` returns. So work that was
    stopped goes on where it stopped: ask :meth:`find` before computing a row.

    Args:
        path: The file; it is continued if it is there.
        what: What the rows are, such as ``'probes'``; the README's tables are chosen by
            it.
        key: Names of the entries that tell rows apart. A new row replaces the one
            with the same entries.

    Raises:
        ValueError: If the file is there and holds something else.
    """

    def __init__(self, path: Path, what: str, key: Sequence[str]) -> None:
        self.path, self.what, self.key = path, what, tuple(key)
        self.machine = describe_machine()
        self.rows: list[Row] = []
        if path.exists():
            report = read_report(path, what)
            self.machine, self.rows = report["machine"], report["rows"]

    def find(self, **entries: Any) -> Row | None:
        """Return the row with these entries; None if it is yet to be computed."""
        wanted = as_read(entries)
        for row in self.rows:
            if all(row.get(name) == value for name, value in wanted.items()):
                return row
        return None

    def append(self, row: Mapping[str, Any]) -> Row:
        """Add a row and write the file; return the row as it will be read.

        Rows that another process has added meanwhile are kept.
        """
        if self.path.exists():
            self.rows = read_report(self.path, self.what)["rows"]
        new = as_read(dict(row))
        if describe_machine() != self.machine:
            new["machine"] = describe_machine()
        old = self.find(**{name: new.get(name) for name in self.key})
        self.rows = [kept for kept in self.rows if kept is not old] + [new]
        self.write()
        return new

    def write(self) -> None:
        """Write everything: whole, or not at all."""
        report = {"what": self.what, "machine": self.machine, "rows": self.rows}
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.path, text.encode())


def read_report(path: Path, what: str) -> dict[str, Any]:
    """Read a results file and check that it holds ``what``.

    Files of earlier versions are read in today's names.

    Raises:
        ValueError: If it is no such file.
    """
    try:
        report = todays_names(json.loads(path.read_text()))
        if isinstance(report, list):
            rows = list(rows_of_monitors(report))
            report = {"what": "probes", "machine": {}, "rows": rows}
        found = report["what"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise ValueError(
            f"{path} is no results file of this project; expected JSON with "
            f'"what": "{what}", choose another file'
        ) from None
    if found != what:
        raise ValueError(f"{path} holds {found}, expected {what}; choose another file")
    return dict(report)


def as_read(row: dict[str, Any]) -> Row:
    """Return the entries as they are read from JSON (tuples become lists)."""
    return dict(json.loads(json.dumps(row)))


def file_sha(path: str | Path) -> str:
    """First 12 hexadecimal digits of a file's SHA-256, as in checkpoints' names."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
