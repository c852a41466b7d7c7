#!/usr/bin/env python3
"""Execute the tutorials whose code changed since their output was committed.

usage: python docs/notebooks.py [--all] [--check] [--limit SECONDS] [FILE ...]

A notebook stores a SHA-256 of its code beside its output. With the same code it is not
executed, so a build takes seconds; ``--all`` executes every notebook, as
``make test-all`` does. Notebooks run offline, in an empty folder, on one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent / "tutorials"
LIMIT_SECONDS = 900
"""Longest time that a cell may take; it allows for a busy machine."""


def digest(notebook: Any) -> str:
    """Return the SHA-256 of the code of a notebook."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()


def is_current(notebook: Any) -> bool:
    """Whether the output of a notebook is that of its code."""
    return notebook.metadata.get("code_sha256") == digest(notebook)


def execute(notebook: Any, limit: int = LIMIT_SECONDS) -> None:
    """Execute a notebook in an empty folder and note the digest of its code."""
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook,
            timeout=limit,
            resources=resources,
            record_timing=False,
        ).execute()
    notebook.metadata["code_sha256"] = digest(notebook)
    notebook.metadata.pop("widgets", None)


def main() -> None:
    """Execute notebooks, or only name those that are out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="notebooks; all by default")
    parser.add_argument("--all", action="store_true", help="execute current ones, too")
    parser.add_argument("--check", action="store_true", help="only name outdated ones")
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT_SECONDS,
        help=f"seconds that a cell may take ({LIMIT_SECONDS})",
    )
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    stale = []
    for file in args.files or sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(file, as_version=4)
        if is_current(notebook) and not args.all:
            continue
        stale.append(file.name)
        if not args.check:
            start = time.monotonic()
            execute(notebook, args.limit)
            nbformat.write(notebook, file)
            print(f"{file.name}: executed in {time.monotonic() - start:.0f} s")
    if args.check and stale:
        raise SystemExit(f"run docs/notebooks.py; out of date: {', '.join(stale)}")


if __name__ == "__main__":
    main()
