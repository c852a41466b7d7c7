"""MyST text that several generated pages share."""

from __future__ import annotations

from collections.abc import Iterable

TASKS = {
    "selfsup": "Pretraining",
    "classification": "Classification",
    "detection": "Detection",
    "segmentation": "Segmentation",
}
"""Folder of configs, and its title."""


def toctree(names: Iterable[str]) -> str:
    """Return a table of contents that only the sidebar shows."""
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```", ""])
