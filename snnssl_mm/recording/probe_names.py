"""Names of probes and of their starting points, in logs, results files and tables.

Rows, log keys and options use names; tables and plots show titles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FROZEN = {"knn": "k-NN", "linear": "linear probe"}
"""Probes of frozen features, and their titles."""
STARTS = {
    "pretrained": "pretrained",
    "random": "random weights",
    "pixels": "raw pixels",
}
"""What a probe evaluates, and their titles; the last two are the baselines."""
TITLES = {
    **FROZEN,
    **STARTS,
    "linear_of_trained_T": "linear probe of the trained T",
    "semi_1pct": "1 % of the labels",
    "semi_10pct": "10 % of the labels",
    "finetune": "fine-tuning",
}
FORMER = {
    "k-NN": "knn",
    "linear probe": "linear",
    "linear probe of the trained T": "linear_of_trained_T",
    "random init": "random",
    "random_init": "random",
    "raw pixels": "pixels",
    "raw_pixels": "pixels",
}
"""Names in files of earlier versions, and their current names."""


def probe_title(name: str) -> str:
    """Return the title of a name, or the name itself if it has none."""
    return TITLES.get(name, name)


def labels_title(fraction: float) -> str:
    """Name a share of the labels, or a number of labels a class above 1.

    Example:
        >>> labels_title(0.1), labels_title(10)
        ('10 %', '10 a class')
    """
    if fraction > 1:
        return f"{fraction:g} a class"
    return f"{100 * fraction:g} %"


def label_order(fraction: float) -> tuple[bool, float]:
    """Return a key that sorts labels a class (above 1) before shares of the labels."""
    return fraction <= 1, fraction


def current_names(content: Any) -> Any:
    """Replace the names of earlier versions in the content of a results file."""
    if isinstance(content, list):
        return [current_names(entry) for entry in content]
    if isinstance(content, Mapping):
        return {FORMER.get(k, k): current_names(v) for k, v in content.items()}
    return FORMER.get(content, content) if isinstance(content, str) else content


def rows_of_monitors(rows: list[Any]) -> Iterator[dict[str, Any]]:
    """Convert rows of the monitors' former format (one per epoch) to rows of probes.

    Args:
        rows: Dicts of ``probe``, ``epoch`` and an accuracy for each starting point,
            under current names.
    """
    for row in rows:
        for start in STARTS:
            epoch = row["epoch"] if start == "pretrained" else 0
            own = {"start": start, "epoch": epoch, "top1": row[start]}
            yield {"probe": row["probe"], **own}
