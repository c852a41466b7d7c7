"""Probes as a table: for the terminal, the README and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snnssl_mm.analysis.table import Table

Row = Mapping[str, Any]
"""Of the results file of tools/probe.py."""
SHOWN = ("k", "temperature", "iterations", "lr")
"""Settings that a reader tells rows apart by."""


def described(settings: Row) -> str:
    """The settings of a probe that matter to a reader."""
    texts = [f"{name} {settings[name]:g}" for name in SHOWN if name in settings]
    if not settings["recalibrated"]:
        texts.append("not recalibrated")
    return ", ".join(texts)


def probe_table(rows: Sequence[Row]) -> Table:
    """Show accuracies in percent, a line for every row."""
    top5 = any("top5" in row for row in rows)
    names = ("top1", "top5") if top5 else ("top1",)
    lines = [
        [
            row["probe"],
            row["start"],
            described(row["settings"]),
            *(f"{100 * row[name]:.1f}" for name in names),
            f"{row['train_images']:,}",
            f"{row['seconds'] + row.get('feature_seconds', 0):.1f}",
        ]
        for row in rows
    ]
    accuracies = [f"top-{name[3:]}, %" for name in names]
    head = ["probe", "backbone", "settings", *accuracies, "images", "time, s"]
    caption = f"{rows[0]['test_images']:,} unseen images, {rows[0]['data']}"
    return Table(head, lines, caption, words=3)
