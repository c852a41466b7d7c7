"""Self-contained HTML leaderboard of a transfer suite."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.analysis.report.report import Fact, Report, Section
from snnssl_mm.analysis.report.verdicts import Verdict
from snnssl_mm.analysis.transfer_board import board_html
from snnssl_mm.analysis.transfer_charts import (
    charts_html,
    charts_of_labels,
    charts_of_time,
)
from snnssl_mm.analysis.transfer_statistics import (
    BASELINES,
    Comparison,
    Row,
    at_all_labels,
    compare,
    entries_of,
    missing_rows,
    mixed_checkpoints,
    transfer_cells,
    unique_rows,
)
from snnssl_mm.analysis.transfer_table import explanation, transfer_tables
from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.recording.machine import machine_text
from snnssl_mm.recording.probe_names import labels_title, probe_title
from snnssl_mm.recording.table import Table

SHOWN_MISSING = 6


def leaderboard(
    rows_or_report: Sequence[Row] | Mapping[str, Any], out: Path, date: str = ""
) -> Path:
    """Write the leaderboard of a transfer suite as one HTML file.

    The page needs no other file and no network; its table can be sorted where scripts
    run. Of an unfinished suite it shows what there is, and lists what is missing.

    Args:
        rows_or_report: Content of the results file, or its rows.
        out: HTML file to write; its folder is created.
        date: Date for the page; today by default.

    Returns:
        ``out``.

    Raises:
        ValueError: If there are no rows.
    """
    report = rows_or_report
    if not isinstance(report, Mapping):
        report = {"rows": report}
    page = leaderboard_page(report, date or time.strftime("%Y-%m-%d"))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page.html().encode())
    return out


def leaderboard_page(report: Mapping[str, Any], date: str) -> Report:
    """Compose the page of its sections.

    Raises:
        ValueError: If there are no rows.
    """
    rows = unique_rows(report["rows"])
    compared = compare(transfer_cells(rows))
    if not compared:
        raise ValueError(
            "the leaderboard needs at least one row with a metric, got none; run "
            "snnssl transfer first"
        )
    suites = ", ".join(dict.fromkeys(row["suite"] for row in rows))
    full = at_all_labels(compared)
    return Report(
        title=f"Transfer suite {suites}",
        subtitle=(
            "Downstream tasks from pretrained and from random weights, with identical "
            "schedules. Higher is better for every metric."
        ),
        facts=facts(full),
        sections=[
            board_section(full, rows),
            labels_section(rows),
            time_section(rows),
            origin_section(rows),
        ],
        about=about_table(rows, report.get("machine"), date),
    )


def about_table(rows: Sequence[Row], machine: Any, date: str) -> Table:
    """Make the table about checkpoints, seeds, machines and date."""
    digests: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["entry"] not in BASELINES:
            digest = row.get("sha256") or "not recorded"
            digests.setdefault(row["entry"], {})[digest] = None
    checkpoints = [f"{name} (sha256 {', '.join(d)})" for name, d in digests.items()]
    machines = [row.get("machine", machine) for row in rows]
    found = dict.fromkeys(machine_text(machine) for machine in machines if machine)
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        ["checkpoints", "; ".join(checkpoints) or "none yet"],
        ["seeds", ", ".join(map(str, seeds))],
        ["machine", "; ".join(found) or "not recorded"],
        ["page written", date],
    ]
    return Table(["", ""], lines, words=2)


def facts(compared: Sequence[Comparison]) -> list[Fact]:
    """Count for each checkpoint the metrics that it improves beyond the spread.

    A gain is beyond the spread if its 95 % interval lies above zero.
    """
    found = []
    for entry in dict.fromkeys(one.entry for one in compared):
        gains = [one.gain for one in compared if one.entry == entry and one.gain]
        known = [gain for gain in gains if gain.has_interval]
        better = sum(gain.low > 0 for gain in known)
        if not known:
            text = "no interval: two seeds or more are needed"
            found.append(Fact(entry, f"{len(gains)} metrics", Verdict("note", text)))
            continue
        level = "good" if better == len(known) else "fair" if better else "poor"
        text = "above random weights beyond the spread"
        verdict = Verdict(level, text)
        found.append(Fact(entry, f"{better} of {len(known)} metrics", verdict))
    return found


def board_section(compared: Sequence[Comparison], rows: Sequence[Row]) -> Section:
    """Make the section with the sortable table, and with what is missing."""
    missing = missing_rows(rows)
    verdicts = []
    if missing:
        number = sum(len(one.seeds) for one in missing)
        shown = "; ".join(map(str, missing[:SHOWN_MISSING]))
        more = len(missing) - SHOWN_MISSING
        rest = f"; and {more} more" if more > 0 else ""
        found = f"incomplete: {number} rows are missing ({shown}{rest})"
        verdicts.append(Verdict("fair", found))
    if mixed := mixed_checkpoints(rows):
        found = f"tasks of one seed from different checkpoints ({'; '.join(mixed)})"
        verdicts.append(Verdict("poor", found))
    text = (
        f"Scores in percent on unseen images. {explanation(compared)}. Intervals hold "
        "for one row each: they are not corrected for the number of rows.",
        "Bars show the intervals on one scale; the dashed line is no gain.",
    )
    return Section("Leaderboard", text, verdicts=verdicts, html=board_html(compared))


def labels_section(rows: Sequence[Row]) -> Section:
    """Make the section on scores against the number of labelled images."""
    charts = charts_of_labels(rows)
    if not charts:
        reason = "Every task was run with one number of labelled images only."
        return Section("Label efficiency", [reason])
    text = (
        "Score in percent against the number of labelled training images (logarithmic "
        "axis): mean over seeds, bands of one standard deviation.",
    )
    table = transfer_tables(rows)[1]._replace(caption="The same numbers as a table")
    html = charts_html(charts, entries_of(rows))
    return Section("Label efficiency", text, details=[table], html=html)


def time_section(rows: Sequence[Row]) -> Section:
    """Make the section on scores against the time of the downstream training."""
    charts = charts_of_time(rows)
    if not charts:
        reason = "No row has evaluations during its training; probes have none."
        return Section("Training time", [reason])
    text = (
        "Score in percent against the time of the downstream training, with all "
        "labelled images: mean over seeds, bands of one standard deviation. Includes "
        "evaluations, but not the pretraining. Probes have no such curve.",
    )
    html = charts_html(charts, entries_of(rows))
    return Section("Training time", text, html=html)


def origin_section(rows: Sequence[Row]) -> Section:
    """Make the section on commands, configs and digests, with every row."""
    lines = [
        [
            *(probe_title(row["task"]), probe_title(row["entry"]), str(row["seed"])),
            *(f"{row['labelled_images']:,}", labels_title(row["fraction"])),
            ", ".join(
                f"{probe_title(k)} {'-' if v is None else f'{100 * v:.2f}'}"
                for k, v in row["metrics"].items()
            ),
            *(f"{row['seconds']:.0f}", str(row.get("threads", "-"))),
            *(str(row.get(name, "-")) for name in ("config", "digest", "sha256")),
        ]
        for row in rows
    ]
    head = ["task", "entry", "seed", "labelled images", "share", "scores, %"]
    head += ["time, s", "threads", "config", "digest", "sha256"]
    commands = dict.fromkeys(row["command"] for row in rows)
    text = (
        "Every row is one training or probe. Its digest identifies the complete config "
        "and the checkpoint, sha256 the checkpoint's file.",
    )
    table = Table(head, lines, f"All {len(rows)} rows", words=2)
    command = "\n".join(commands)
    return Section("How it was made", text, details=[table], command=command)
