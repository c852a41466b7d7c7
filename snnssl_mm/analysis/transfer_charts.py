"""Charts of a transfer suite: scores against labelled images and training time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from snnssl_mm.analysis.plots.transfer_curves import Curve, draw_svg, line_styles
from snnssl_mm.analysis.report.report import template
from snnssl_mm.analysis.seed_statistics import Summary
from snnssl_mm.analysis.transfer_statistics import (
    Measure,
    Row,
    entries_of,
    most_labels,
    transfer_cells,
    unique_rows,
)
from snnssl_mm.recording.probe_names import probe_title

Points = list[tuple[float, Summary]]


class Chart(NamedTuple):
    """Chart of one metric.

    Attributes:
        title: Task and metric.
        alt: Description of the lines in words.
        svg: The picture.
        entries: What the lines are.
    """

    title: str
    alt: str
    svg: Markup
    entries: Collection[str]


def charts_html(charts: Sequence[Chart], entries: Sequence[str]) -> Markup:
    """Render charts as HTML, with one key for all of them."""
    drawn = {entry for chart in charts for entry in chart.entries}
    styles = {
        probe_title(entry): style
        for entry, style in line_styles(entries).items()
        if entry in drawn
    }
    html = template("charts.html.j2", autoescape=True)
    return Markup(html.render(charts=charts, styles=styles))


def charts_of_labels(rows: Iterable[Row]) -> list[Chart]:
    """Draw scores against labelled images, for metrics with two numbers or more."""
    rows = unique_rows(rows)
    lines: dict[Measure, dict[str, Points]] = {}
    for cell in transfer_cells(rows):
        points = lines.setdefault(cell.measure, {}).setdefault(cell.entry, [])
        points.insert(0, (cell.labelled_images, cell.summary))  # fewest images first
    charts = []
    for measure, entries in lines.items():
        images = sorted({x for points in entries.values() for x, _ in points})
        if len(images) > 1:
            chart = draw_chart(measure, entries, entries_of(rows), images)
            charts.append(chart)
    return charts


def charts_of_time(rows: Iterable[Row]) -> list[Chart]:
    """Draw scores against training time, at all labels, for tasks that are trained.

    A line averages score and time at the steps that all seeds have in common.
    """
    rows = unique_rows(rows)
    largest = most_labels((row["task"], row["fraction"]) for row in rows)
    curves: dict[Measure, dict[str, list[Mapping[int, tuple[float, float]]]]] = {}
    for row in rows:
        if row["fraction"] != largest[row["task"]]:
            continue
        for metric in {name: 0 for at in row["curve"] for name in at["metrics"]}:
            seeds = curves.setdefault(Measure(row["task"], metric), {})
            points = {
                at["step"]: (at["seconds"] / 60, 100 * at["metrics"][metric])
                for at in row["curve"]
                if at["metrics"].get(metric) is not None
            }
            seeds.setdefault(row["entry"], []).append(points)
    return [
        draw_chart(
            measure,
            {entry: mean_course(seeds) for entry, seeds in entries.items()},
            entries_of(rows),
        )
        for measure, entries in curves.items()
    ]


def mean_course(seeds: Sequence[Mapping[int, tuple[float, float]]]) -> Points:
    """Average time (minutes) and score over the seeds, at their common steps."""
    steps = sorted(set.intersection(*(set(seed) for seed in seeds)))
    return [
        (
            Summary.of([seed[step][0] for seed in seeds]).mean,
            Summary.of([seed[step][1] for seed in seeds]),
        )
        for step in steps
    ]


def draw_chart(
    measure: Measure,
    lines: Mapping[str, Points],
    entries: Sequence[str],
    images: Sequence[float] = (),
) -> Chart:
    """Draw a metric, and describe the lines in words.

    Args:
        measure: Task and metric.
        lines: Points by entry.
        entries: All entries of the suite, which decide the styles.
        images: Numbers of labelled images; against minutes of training if empty.
    """
    styles = line_styles(entries)
    drawn = {entry: points for entry, points in lines.items() if points}
    curves = [
        Curve([x for x, _ in points], [y for _, y in points], styles[entry])
        for entry, points in drawn.items()
    ]
    unit = "labelled images" if images else "minutes of training"
    texts = []
    for entry, points in drawn.items():
        ends = points if images else [points[0], points[-1]]
        values = ", ".join(f"{y.mean:.1f} at {x:,.3g}" for x, y in ends)
        texts.append(f"{probe_title(entry)} {values}")
    alt = f"{measure}, %, by {unit}: {'; '.join(texts)}."
    return Chart(f"{measure}, %", alt, draw_svg(curves, unit, images), drawn)
