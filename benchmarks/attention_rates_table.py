"""Table of the rates of attention neurons at initialisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snnssl_mm.recording.table import Table


def attention_rates_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table: one line per network and size, one column per scale.

    Args:
        rows: Rows of benchmarks/attention_rates.py.
    """
    scales = list(dict.fromkeys(row["attention_scale"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    cells: dict[tuple[str, ...], dict[Any, str]] = {}
    for row in rows:
        line = row["network"], row["stem"], f"{row['width']}x{row['height']}"
        low, *_, high = sorted(100 * rate for rate in row["rates"] * 2)
        text = f"{low:.0f}" if len(row["rates"]) == 1 else f"{low:.0f} to {high:.0f}"
        cells.setdefault(line, {})[row["attention_scale"]] = text
    return Table(
        ["network", "stem", "image", *(f"scale {scale}, %" for scale in scales)],
        [
            [*line, *(found.get(scale, "-") for scale in scales)]
            for line, found in sorted(
                cells.items(), key=lambda cell: networks.index(cell[0][0])
            )
        ],
        "Firing rate of the attention neurons at initialisation, least to most of "
        "the blocks",
        words=3,
    )
