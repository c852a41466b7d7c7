"""Names of probes and of what they start from, in logs, results files and tables.

A name is what rows, log keys and options have; a title is what a reader sees.
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
"""What a probe judges, and its titles; the last two are the baselines."""
TITLES = {
    **FROZEN,
    **STARTS,
    "linear_of_trained_T": "linear probe of the trained T",
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
"""Names in files of earlier versions, and what they are called now."""


def title(name: str) -> str:
    """Return what a reader sees for a name; names without a title are shown as such."""
    return TITLES.get(name, name)


def todays_names(content: Any) -> Any:
    """Replace the names of earlier versions in the content of a results file."""
    if isinstance(content, list):
        return [todays_names(entry) for entry in content]
    if isinstance(content, Mapping):
        return {FORMER.get(k, k): todays_names(v) for k, v in content.items()}
    return FORMER.get(content, content) if isinstance(content, str) else content


def rows_of_monitors(rows: list[Any]) -> Iterator[dict[str, Any]]:
    """Turn the list that the monitors once wrote, a row an epoch, into rows of probes.

    Args:
        rows: Entries of ``probe``, ``epoch`` and an accuracy for each start, in
            today's names.
    """
    for row in rows:
        for start in STARTS:
            epoch = row["epoch"] if start == "pretrained" else 0
            own = {"start": start, "epoch": epoch, "top1": row[start]}
            yield {"probe": row["probe"], **own}
