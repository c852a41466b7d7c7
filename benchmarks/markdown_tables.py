"""Markdown tables of results files: cells, and the name of a machine."""

from __future__ import annotations

from typing import Any

from snnssl_mm.recording.table import Table


def device(report: dict[str, Any]) -> str:
    """Name the machine of a results file."""
    machine = report["machine"]
    if machine["gpu"] != "none":
        return machine["gpu"]
    return f"{machine['cores']} cores ({machine['processor']})"


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table whose columns all contain words."""
    return Table(heads, rows, words=len(heads)).markdown()
