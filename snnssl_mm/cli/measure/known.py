"""Rows of a results file that are measured unless they are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snnssl_mm.recording.results_file import ResultsFile, Row


def known_or_measured(
    results: ResultsFile, about: Row, measure: Callable[[], Row]
) -> Row:
    """Return the row of the same weights, config and images; measure it if need be.

    Args:
        results: The file.
        about: Where the row comes from; the entries of the file's key and ``digest``,
            from :func:`snnssl_mm.probing.digests.inputs_digest`, are compared.
        measure: Returns the other entries of a new row.
    """
    same = {name: about.get(name) for name in (*results.key, "digest")}
    if row := results.find(**same):
        print(f"in {results.path} already")
        return row
    return results.append(about | measure())
