"""Results files: JSON rows, appended one by one; present rows are not recomputed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.recording.file_lock import locked_file
from snnssl_mm.recording.machine import describe_machine
from snnssl_mm.recording.probe_names import current_names, rows_of_monitors

Row = dict[str, Any]


class ResultsFile:
    """JSON file ``{"what", "machine", "rows"}`` that grows row by row.

    Each row is on the disk once :meth:`append` returns (the file is written
    atomically). To resume interrupted work, call :meth:`find` before computing a row.

    Args:
        path: The file; an existing one is continued.
        what: Type of the rows, such as ``'probes'``; selects the README's tables.
        key: Names of the entries that identify a row. A new row replaces an old one
            with the same values.

    Raises:
        ValueError: If the file exists and has another ``what``.
    """

    def __init__(self, path: Path, what: str, key: Sequence[str]) -> None:
        self.path, self.what, self.key = path, what, tuple(key)
        self.machine = describe_machine()
        self.rows: list[Row] = []
        if path.exists():
            report = read_report(path, what)
            self.machine, self.rows = report["machine"], report["rows"]

    def find(self, **entries: Any) -> Row | None:
        """Return the row with these entries, or None if there is none yet."""
        wanted = as_read(entries)
        for row in self.rows:
            if all(row.get(name) == value for name, value in wanted.items()):
                return row
        return None

    def append(self, row: Mapping[str, Any]) -> Row:
        """Add a row and write the file; return the row as read back from JSON.

        Rows that another process added in the meantime are kept.
        """
        new = as_read(dict(row))
        if describe_machine() != self.machine:
            new["machine"] = describe_machine()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked_file(self.path.with_name(f".{self.path.name}.lock"), wait=True):
            if self.path.exists():
                self.rows = read_report(self.path, self.what)["rows"]
            old = self.find(**{name: new.get(name) for name in self.key})
            self.rows = [kept for kept in self.rows if kept is not old] + [new]
            self.write()
        return new

    def write(self) -> None:
        """Write the file atomically."""
        report = {"what": self.what, "machine": self.machine, "rows": self.rows}
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.path, text.encode())


def read_report(path: Path, what: str) -> dict[str, Any]:
    """Read a results file and check its ``what``.

    Names of earlier versions are replaced by the current ones.

    Raises:
        ValueError: If it is not a results file with this ``what``.
    """
    try:
        report = current_names(json.loads(path.read_text()))
        if isinstance(report, list):
            rows = list(rows_of_monitors(report))
            report = {"what": "probes", "machine": {}, "rows": rows}
        found = report["what"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise ValueError(
            f"{path} is not a results file of this project; expected JSON with "
            f'"what": "{what}"; choose another file'
        ) from None
    if found != what:
        raise ValueError(f"{path} holds {found}, expected {what}; choose another file")
    return dict(report)


def as_read(row: dict[str, Any]) -> Row:
    """Return the entries as JSON reads them back (tuples become lists)."""
    return dict(json.loads(json.dumps(row)))


def file_sha(path: str | Path) -> str:
    """Return the first 12 hexadecimal digits of a file's SHA-256."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
