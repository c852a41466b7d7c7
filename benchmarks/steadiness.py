"""Flatness and slope of a long run's memory, with a table and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnssl_mm.analysis.plots.plot_style import styled_figure
from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
"""A row of benchmarks/long_run.py: one run with its series."""

FLAT_WITHIN = 0.02
MAX_SLOPES = 500  # largest number of samples whose pairs give slopes


def flatness(values: npt.ArrayLike) -> float:
    """Compute (max - min) / median of values such as resident memory."""
    found = np.asarray(values, float)
    return float(np.ptp(found) / np.median(found))


def robust_slope(times: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Compute the Theil-Sen slope: the median slope between all pairs of points.

    Unlike least squares it is robust against single peaks, such as those of an
    evaluation or of writing a checkpoint.

    Args:
        times: At least two different times.
        values: Value at each time.

    Returns:
        Change of the value in a unit of time.
    """
    t, y = np.asarray(times, float), np.asarray(values, float)
    chosen = np.linspace(0, len(t) - 1, min(len(t), MAX_SLOPES)).astype(int)
    t, y = t[chosen], y[chosen]
    first, second = np.triu_indices(len(t), 1)
    return float(np.median((y[second] - y[first]) / (t[second] - t[first])))


def warm_up_end(
    series: Mapping[str, Sequence[float]], share: float, iterations: int
) -> float:
    """Return the end of the warm-up in seconds: after a share and some iterations.

    Args:
        series: Lists of equal length: ``seconds`` since the first iteration and
            ``iterations`` done by then.
        share: Share of the duration to leave out at the beginning, in [0, 1).
        iterations: Smallest number of iterations to leave out.
    """
    times = series["seconds"]
    pairs = zip(times, series["iterations"], strict=True)
    done = [time for time, count in pairs if count >= iterations]
    return max(share * times[-1], done[0] if done else times[-1])


def steadiness(
    series: Mapping[str, Sequence[float]], start: float = 0.0
) -> dict[str, Any]:
    """Judge the trainer's resident memory after the warm-up.

    Args:
        series: Lists of equal length: ``seconds`` since the first iteration and
            ``rss_mib``.
        start: End of the warm-up in seconds.

    Returns:
        ``flatness``, ``slope_mib_per_hour``, and ``flat``, whether the flatness is at
        most 2 %.

    Raises:
        ValueError: If fewer than three samples are left.
    """
    times = np.asarray(series["seconds"], float)
    kept = times >= start
    if kept.sum() < 3:
        raise ValueError(
            f"the run was sampled {kept.sum()} times after its warm-up of {start:.0f} "
            "s, expected at least 3; give it more time or sample it more often"
        )
    memory = np.asarray(series["rss_mib"], float)[kept]
    found = flatness(memory)
    slope = robust_slope(times[kept], memory) * 3600
    return {
        "flatness": round(found, 4),
        "slope_mib_per_hour": round(slope, 2),
        "flat": found <= FLAT_WITHIN,
    }


def long_run_table(rows: Sequence[Row]) -> Table:
    """Make the table of resources, one line per run."""
    lines = []
    for row in rows:
        after = [
            index
            for index, time in enumerate(row["series"]["seconds"])
            if time >= 60 * row["warm_up_minutes"]
        ]
        used = {
            name: f"{min(kept):,.0f} to {max(kept):,.0f}"
            for name, values in row["series"].items()
            if (kept := [values[index] for index in after])
        }
        lines.append(
            [
                Path(row["config"]).stem,
                f"{row['minutes']:.3g} minutes, {row['iterations']:,} iterations",
                f"{used['rss_mib']} MiB",
                f"{100 * row['flatness']:.2g} %",
                f"{row['slope_mib_per_hour']:+.2g} MiB/h",
                used["open_files"],
                used["threads"],
                f"{used['disk_mib']} MiB",
            ]
        )
    head = [
        *("run", "length", "resident memory", "(max - min) / median", "slope"),
        *("open files", "threads", "work directory"),
    ]
    return Table(head, lines, "a long run after its warm-up", words=2)


def plot_long_run(row: Row, out: Path) -> Path:
    """Draw memory (top), open files, threads and disk use (below) over time."""
    series = row["series"]
    minutes = [time / 60 for time in series["seconds"]]
    with styled_figure(out, 6.0) as figure:
        axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 1])
        panels = (
            ("MiB", {"rss_mib": "trainer, resident", "uss_mib": "trainer, its own"}),
            ("count", {"open_files": "open files", "threads": "threads"}),
            ("MiB", {"disk_mib": "work directory"}),
        )
        for axis, (unit, names) in zip(axes, panels, strict=True):
            for name, text in names.items():
                axis.plot(minutes, series[name], label=text, lw=1)
            axis.set_ylabel(unit)
        axes[0].plot(
            minutes,
            series["tree_pss_mib"],
            lw=0.7,
            color="0.6",
            label="with its workers",
        )
        for axis in axes:
            axis.axvspan(0, row["warm_up_minutes"], color="0.93", zorder=0)
            axis.set_ylim(0, 1.15 * axis.get_ylim()[1])
            place = dict(loc="center left", bbox_to_anchor=(1.0, 0.5))
            axis.legend(**place)
        axes[0].set_title(
            f"{Path(row['config']).stem}: {row['iterations']:,} iterations, flat "
            f"within {100 * row['flatness']:.2g} % after the grey warm-up",
        )
        axes[-1].set_xlabel("minutes since the first iteration")
    return out
