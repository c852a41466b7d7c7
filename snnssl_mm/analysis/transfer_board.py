"""Sortable HTML table of a transfer suite, with intervals as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from snnssl_mm.analysis.report.report import template
from snnssl_mm.analysis.report.verdicts import Verdict
from snnssl_mm.analysis.seed_statistics import Gain
from snnssl_mm.analysis.transfer_statistics import Cell, Comparison
from snnssl_mm.analysis.transfer_table import (
    gain_text,
    images_text,
    score_text,
    seeds_text,
)
from snnssl_mm.recording.probe_names import probe_title

WORDS = ("task, metric", "checkpoint", "verdict")
"""Columns that contain words."""
BAR_WIDTH = 200


class Bar(NamedTuple):
    """Interval as a bar, in pixels from the left.

    Attributes:
        zero: Position of no gain.
        mean: Position of the gain.
        low: Left end of the interval, or of the scale if the interval exceeds it.
        high: Right end.
        ends: Ends of the interval that lie on the scale.
    """

    zero: float
    mean: float
    low: float
    high: float
    ends: list[float]


class BoardCell(NamedTuple):
    """Cell of the table.

    Attributes:
        text: What it shows.
        value: What the table is sorted by; empty if missing.
        is_best: Whether it is the best of several checkpoints.
        note: Second line.
        bar: Interval below the text.
    """

    text: str
    value: str | float
    is_best: bool = False
    note: str = ""
    bar: Bar | None = None


class BoardLine(NamedTuple):
    """Line of the table: cells by heading, and the verdict in the last column."""

    cells: dict[str, BoardCell]
    verdict: Verdict


def board_html(compared: Sequence[Comparison]) -> Markup:
    """Render the table as HTML, with the script that sorts it."""
    scale = scale_of([one.gain for one in compared if one.gain])
    lines = [
        BoardLine(board_cells(one, compared, scale), gain_verdict(one))
        for one in compared
    ]
    html = template("leaderboard.html.j2", autoescape=True)
    head = [*lines[0].cells, "verdict"]
    return Markup(html.render(head=head, words=WORDS, lines=lines, width=BAR_WIDTH))


def board_cells(
    one: Comparison, compared: Sequence[Comparison], scale: tuple[float, float]
) -> dict[str, BoardCell]:
    """Return the cells of a comparison, without columns that say nothing.

    Args:
        one: The comparison.
        compared: All of the table.
        scale: Ends of the bars' scale.
    """
    gain, (task, metric) = one.gain, map(probe_title, one.measure)
    means = [
        other.checkpoint.summary.mean
        for other in compared
        if other.measure == one.measure and other.checkpoint
    ]
    score = score_cell(one.checkpoint)
    cells = {
        "task, metric": BoardCell(task, str(one.measure), note=metric),
        "checkpoint": BoardCell(one.entry, one.entry),
        "labelled images": BoardCell(images_text(one), one.labelled_images),
        "pretrained": score._replace(
            is_best=len(means) > 1 and score.value == max(means)
        ),
        "random weights": score_cell(one.random),
        "raw pixels": score_cell(one.pixels),
        "gain [95 % CI], points": gain_cell(gain, scale),
        "seeds": BoardCell(seeds_text(one), gain.seeds if gain else ""),
    }
    if len({other.entry for other in compared}) == 1:
        del cells["checkpoint"]
    if not any(other.pixels for other in compared):
        del cells["raw pixels"]
    if len({seeds_text(other) for other in compared}) == 1:
        del cells["seeds"]
    return cells


def gain_cell(gain: Gain | None, scale: tuple[float, float]) -> BoardCell:
    """Return the cell of a gain, with its bar."""
    if gain is None:
        return BoardCell(gain_text(gain), "")
    return BoardCell(gain_text(gain), gain.mean, bar=bar_of(gain, scale))


def score_cell(cell: Cell | None) -> BoardCell:
    """Return the cell of a score."""
    return BoardCell(score_text(cell), cell.summary.mean if cell else "")


def scale_of(gains: Sequence[Gain]) -> tuple[float, float]:
    """Return the ends of a scale with zero and every gain, and some room."""
    means = [0.0, *(gain.mean for gain in gains)]
    room = 0.25 * (max(means) - min(means) or 1.0)
    return min(means) - room, max(means) + room


def bar_of(gain: Gain, scale: tuple[float, float]) -> Bar:
    """Place a gain and its interval on the scale."""
    left, right = scale

    def place(value: float) -> float:
        inside = min(max(value, left), right)
        return round(BAR_WIDTH * (inside - left) / (right - left), 1)

    limits = (gain.low, gain.high) if gain.has_interval else (gain.mean, gain.mean)
    ends = [place(v) for v in limits if left <= v <= right and gain.has_interval]
    low, high = map(place, limits)
    return Bar(place(0), place(gain.mean), low, high, ends)


def gain_verdict(one: Comparison) -> Verdict:
    """Judge a gain over random weights by its interval, then by raw pixels."""
    gain, pixels = one.gain, one.pixels
    if gain is None:
        return Verdict("note", "not complete")
    if not gain.has_interval:
        return Verdict("note", f"{gain.method}: no interval")
    if gain.high < 0:
        return Verdict("poor", "below random")
    if gain.low <= 0:
        return Verdict("fair", "not beyond the spread")
    score = one.checkpoint.summary.mean if one.checkpoint else 0.0
    if pixels and score < pixels.summary.mean:
        return Verdict("fair", "above random, below pixels")
    return Verdict("good", "above random")
