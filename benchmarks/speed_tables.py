"""Tables of speed, growth, CUDA kernels and stock pipelines, from results files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown_tables import device, table


def duration(seconds: float) -> str:
    """Format a duration in a suitable unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def rate_text(rate: float) -> str:
    """Format a rate: three digits below 100, none after the point above.

    Example:
        >>> rate_text(0.4257), rate_text(3373.2)
        ('0.426', '3,373')
    """
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


SPEED_HEADS = (
    "case",
    "ours",
    "compared with",
    "its time",
    "times ours",
    "host: ours",
    "host: its",
    "memory: ours",
    "its",
)
ANATOMY = {
    "operators": "operators",
    "launches": "launches",
    "kernels": "kernels",
    "GPU busy, ms": "busy_ms",
    "GPU idle, ms": "idle_ms",
    "host, ms": "host_ms",
    "synchronisations": "synchronisations",
}
"""Heads of the columns of a step's anatomy, and their entries in a results file."""
ANATOMY_HEADS = ["a step of", "side", *ANATOMY]
HOST_INCLUDED = (
    "A GPU's times are from an idle GPU, so they include the host's latency until the "
    "first kernel starts."
)
HOST_APART = (
    'A GPU\'s times are of queued work; "host" is the time until the call returns. '
    "An asterisk: the call waits for the GPU, so that its time includes the host's."
)
"""What a GPU's times are, in files without and with the host's."""


def speed(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/run.py: one table for each family of cases.

    Families with headline cases show only these.
    """
    lines: list[str] = []
    for row in report["rows"]:
        chosen = [case for case in row["cases"] if case["headline"]] or row["cases"]
        found = [line for case in chosen for line in speed_lines(case)]
        title = row["title"]
        lines += [f"**{title[0].upper()}{title[1:]}**", ""]
        lines += [*without_empty_columns(list(SPEED_HEADS), found), ""]
        if anatomies := anatomy_rows(row):
            lines += [*without_empty_columns(ANATOMY_HEADS, anatomies), ""]
        for skipped in row.get("skipped", ()):
            lines += [f"Not measured: {skipped['case']}: {skipped['reason']}.", ""]
    where = f"On {device(report)}; medians of runs in turn, quartiles in brackets."
    commands = ", ".join(dict.fromkeys(f"`{r['command']}`" for r in report["rows"]))
    notes = dict.fromkeys(row["note"] for row in report["rows"] if row["note"])
    if report["machine"]["gpu"] != "none":
        apart = any("host_seconds" in side for side in sides_of(report))
        where += f" {HOST_APART if apart else HOST_INCLUDED}"
    return [*lines, " ".join([where, f"Measured by {commands}.", *notes])]


def sides_of(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all sides of all cases of a file."""
    for row in report["rows"]:
        for case in row["cases"]:
            yield from case["sides"].values()


def without_empty_columns(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table without the columns in which all cells are ``-``."""
    kept = [i for i in range(len(heads)) if any(row[i] != "-" for row in rows)]
    return table([heads[i] for i in kept], [[row[i] for i in kept] for row in rows])


def speed_lines(case: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a case: ours compared with each other side, or alone."""
    (_, ours), *others = case["sides"].items()
    own = device_time(ours)
    if not others:
        rate = ours.get("per_second")
        own += f" ({rate_text(rate)} {case['items']}/s)" if rate else ""
        return [[case["case"], own, *["-"] * 3, host_time(ours), *["-"] * 3]]
    lines = []
    for name, side in others:
        ratio = side["times_ours"]
        low, high = (f"{value:.3g}" for value in ratio["quartiles"])
        times = f"{ratio['median']:.3g} ({low} to {high})"
        peaks = [
            f"{s['peak_mib']:,.0f} MiB" if "peak_mib" in s else "-"
            for s in (ours, side)
        ]
        hosts = [host_time(s) for s in (ours, side)]
        theirs = device_time(side)
        lines.append([case["case"], own, name, theirs, times, *hosts, *peaks])
    return lines


def anatomy_rows(row: dict[str, Any]) -> list[list[str]]:
    """Return the lines of a row's anatomies; a cell is ``-`` where it has no number."""
    return [
        [
            case["case"],
            name,
            *(
                f"{side['anatomy'][key]:,g}" if key in side["anatomy"] else "-"
                for key in ANATOMY.values()
            ),
        ]
        for case in row["cases"]
        for name, side in case["sides"].items()
        if "anatomy" in side
    ]


def device_time(side: dict[str, Any]) -> str:
    """Format the median of a side's times, with an asterisk if it includes the host."""
    marked = "\\*" if side.get("waits_for_device") else ""
    return duration(side["seconds"]["median"]) + marked


def host_time(side: dict[str, Any]) -> str:
    """Format the median of the host's times; ``-`` if there are none."""
    host = side.get("host_seconds")
    return duration(host["median"]) if host else "-"


def kernel_resources(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/kernel_resources.py: the range of each kernel."""
    kernels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in report["results"]:
        kernel = f"`{row['kernel']}`"
        if row.get("pooled") and "pool" not in kernel:
            kernel += ", max-pooled"
        kernels.setdefault((kernel, row["architecture"]), []).append(row)
    rows = [
        [
            kernel,
            architecture,
            spread([row["registers"] for row in found]),
            spread([round(100 * row["occupancy"]) for row in found]),
            spread([row["spill_stores_bytes"] for row in found]),
        ]
        for (kernel, architecture), found in kernels.items()
    ]
    heads = ["kernel", "for", "registers", "occupancy, %", "spilled, bytes"]
    others = ", ".join(
        f"{name} {found['most_registers']}"
        for name, found in report["surrogates"].items()
    )
    text = (
        f"{report['compiler']}: `{report['command']}`. Ranges are "
        "over float32 and bfloat16, 4, 8 and 16 time steps and both layouts, for the "
        f"surrogate {report['shown']}. Most registers by surrogate: {others}."
    )
    return [*table(heads, rows), "", text]


def spread(values: list[int]) -> str:
    """Format the smallest and the largest value."""
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def stock_pipelines(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/stock_pipelines.py."""
    rows = [
        [
            Path(run["config"]).stem,
            ", ".join(f"{loss:.2f}" for loss in run["loss"]),
            f"{run['seconds_a_step']:,.0f}",
            f"{run['seconds_an_image']:,.0f}",
            f"{run['peak_mib']:,}",
        ]
        for run in report["runs"]
    ]
    heads = ["config", "losses", "s a step", "s a test image", "peak MiB"]
    threads = "one thread" if report["threads"] == 1 else f"{report['threads']} threads"
    where = f"{threads} on {device(report)}"
    return [*table(heads, rows), "", f"With {where}: `{report['command']}`."]


def growth(report: dict[str, Any]) -> list[str]:
    """Render results of benchmarks/growth.py: both ends of every series."""
    rows = [
        [
            f"{panel}: {series}",
            f"{points[0]['value']:,} to {points[-1]['value']:,}",
            f"{duration(points[0]['seconds'])} to {duration(points[-1]['seconds'])}",
            f"{points[0]['peak_mib']:,.0f} to {points[-1]['peak_mib']:,.0f} MiB",
        ]
        for panel, found in report["panels"].items()
        for series, points in found.items()
    ]
    lines = table(["cost over", "values", "time", "peak memory"], rows)
    return [*lines, "", f"On {device(report)}: `{report['command']}`."]
