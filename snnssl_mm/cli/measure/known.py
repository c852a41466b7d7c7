"""Rows of earlier measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnssl_mm.recording.results_file import ResultsFile, Row


def known_row(results: ResultsFile, about: Mapping[str, Any]) -> Row | None:
    """Return the row of the same weights, config and images, if the file has it.

    Args:
        results: The file.
        about: Entries of the new row; those of the file's key and ``digest``, from
            :func:`snnssl_mm.probing.digests.inputs_digest`, are compared.
    """
    same = {name: about.get(name) for name in (*results.key, "digest")}
    row = results.find(**same)
    if row:
        print(f"in {results.path} already")
    return row
