"""Names of an ablation's cells in tables and charts."""

from __future__ import annotations

from collections.abc import Iterable

from snnssl_mm.ablation.cells import Cell
from snnssl_mm.ablation.objectives import TITLES

NEURON_TITLES = {
    "lif": "LIF, both views",
    "mixed": "MixedLIF",
    "analog": "analog, both",
    "analog-mixed": "analog, then MixedLIF",
    "analog-lif": "analog, then LIF",
    "lif-mixed": "LIF, then MixedLIF",
}
FURTHER = {
    "time": "time: {}",
    "bn": "BN per view",
    "pairs": "cross-view pairs only",
    "steps": "T = {}",
    "switch": "switch at {}",
    "projector": "projector BN per view",
    "views": "{} views",
    "width": "D = {}",
    "jitter": "jitter per step",
    "attention": "attention scale {}",
    "threshold": "threshold {}",
    "surrogate": "surrogate width {}",
    "windows": "windows: {}",
}
"""Axes besides loss and neuron, and how a choice other than the default is named."""


def cell_labels(cell: Cell) -> list[str]:
    """Name a cell by its loss, its neuron and what differs from the default."""
    title = TITLES.get(cell.loss, cell.loss)
    return [title, NEURON_TITLES[cell.neuron], *further_labels(cell, FURTHER)]


def further_labels(cell: Cell, axes: Iterable[str]) -> list[str]:
    """Name the choices of a cell on ``axes`` that differ from the default."""
    return [
        FURTHER[axis].format(getattr(cell, axis))
        for axis in axes
        if getattr(cell, axis) != getattr(Cell(), axis)
    ]
