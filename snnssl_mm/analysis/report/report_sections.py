"""Report sections made from results files of other commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnssl_mm.analysis.plots.training_curves import plot_training
from snnssl_mm.analysis.report.report import Fact, Picture, Section
from snnssl_mm.analysis.report.verdicts import (
    Verdict,
    energy_verdict,
    firing_verdict,
    health_verdict,
    knn_verdict,
    latency_verdict,
    probe_verdict,
    rank_verdict,
    steps_verdict,
)
from snnssl_mm.analysis.time_steps import latency_text, time_steps_table
from snnssl_mm.probing.probe_table import grouped, probe_settings_text, probe_table
from snnssl_mm.recording.energy import CONSTANTS, FORMULA
from snnssl_mm.recording.energy_tables import layer_table, summary, total_table
from snnssl_mm.recording.firing_rates import firing_rates_table, mean_rate
from snnssl_mm.recording.probe_names import FROZEN, STARTS, probe_title
from snnssl_mm.recording.representation_health import health_table
from snnssl_mm.recording.results_file import read_report

Row = Mapping[str, Any]
Rows = Sequence[Row]


def training_section(folder: Path, out: Path) -> Section:
    """Draw the training curves from the checkpoint's work directory."""
    try:
        plot_training(folder, out)
    except FileNotFoundError:
        text = "There is no training log in the checkpoint's folder."
        return Section("Training", [text])
    probes = folder / "probes.json"
    rows = read_report(probes, "probes")["rows"] if probes.exists() else []
    verdict = knn_verdict(rows)
    caption = (
        "Left: both parts of the loss should fall and level off. Middle: k-NN on "
        "unseen images should rise above its two baselines. Right: a firing rate near "
        "0 or 100 % would mean that neurons are silent or saturated."
    )
    verdicts = [verdict] if verdict else []
    return Section("Training", [], [Picture(out, caption)], verdicts=verdicts)


def probes_section(rows: Rows) -> Section:
    """Make the section on probes of frozen and trained networks."""
    text = (
        "How well classes can be told from frozen features: the mean over time and "
        "space of the backbone's last map, on the spiking path, with BatchNorm "
        "statistics recalibrated on that path. Baselines: the same network with random "
        "weights, the pixels themselves (at most 32 x 32, the same probe), and chance. "
        "A difference counts if it exceeds two standard errors.",
    )
    groups = [group for group in grouped(rows) if "pretrained" in group]
    return Section(
        "Probes",
        text,
        tables=[probe_table(rows)],
        command=command_of(rows),
        verdicts=[
            prefix_verdict(
                probe_verdict(group), " ".join(name_and_value(group["pretrained"]))
            )
            for group in groups
        ],
    )


def name_and_value(row: Row) -> tuple[str, str]:
    """Return a probe's title and its accuracy as text."""
    return probe_title(row["probe"]), f"{100 * row['top1']:.1f} %"


def prefix_verdict(verdict: Verdict, name: str) -> Verdict:
    """Put a name in front of a verdict's text."""
    return verdict._replace(text=f"{name}: {verdict.text}")


def time_steps_section(rows: Rows, picture: Path, probes: Rows) -> Section:
    """Make the section on the number of time steps."""
    baselines = [
        f"{name_and_value(row)[0]} {name_and_value(row)[1]} ({STARTS[row['start']]})"
        for row in probes
        if row["start"] != "pretrained" and row["probe"] in FROZEN
    ]
    text = (
        "The same weights at other numbers of time steps; BatchNorm statistics are "
        "recalibrated at each. A linear probe is fitted at every T, another one at the "
        "T of the pretraining is kept.",
        f"Baselines at T = {rows[0]['trained_at']}: {', '.join(baselines)}.",
    )
    caption = (
        "Where the accuracy levels off, more time steps only cost latency and energy, "
        "which grow with T. Bars: quartiles of the latency of one image at a time."
    )
    load = next((row["load"] for row in rows if row.get("load")), None)
    return Section(
        "Time steps",
        text,
        [Picture(picture, caption)],
        [time_steps_table(rows)._replace(caption="")],
        command=command_of(rows),
        verdicts=[
            steps_verdict(rows),
            prefix_verdict(latency_verdict({"load": load}), "latency"),
        ],
    )


def firing_rates_section(row: Row, picture: Path) -> Section:
    """Make the section on the firing rates of the layers."""
    layers = row["layers"]
    dead, saturated, neurons = (
        sum(layer[name] for layer in layers)
        for name in ("dead", "saturated", "neurons")
    )
    text = (
        f"Of {neurons:,} neurons, {dead:,} ({100 * dead / neurons:.1f} %) fired for "
        f"none of {row['images_used']} unseen images (dead) and {saturated:,} at every "
        "step of every image (saturated). Both carry no information; a few are normal.",
    )
    caption = (
        "Share of neurons that fire, by layer and time step. Low rates save energy; a "
        "layer whose bars are near 0 passes nothing on."
    )
    return Section(
        "Firing rates",
        text,
        [Picture(picture, caption)],
        details=[firing_rates_table(row)],
        command=row["command"],
        verdicts=[firing_verdict(layers)],
    )


def energy_section(row: Row, picture: Path) -> Section:
    """Make the section on operations and energy."""
    pairs = "; ".join(f"{c.mac} / {c.ac} pJ: {c.name}" for c in CONSTANTS)
    text = (
        f"Estimated from operations, not measured on a chip. {summary(row)}. "
        f"E_MAC / E_AC of {pairs}.",
    )
    caption = (
        "Above: the network compared with its non-spiking twin. Below: bars left of "
        "the black mark are layers that save energy by spiking."
    )
    return Section(
        "Energy",
        text,
        [Picture(picture, caption)],
        [total_table(row)],
        [layer_table(row)],
        formula=FORMULA,
        command=row["command"],
        verdicts=[energy_verdict(row)],
    )


def health_section(row: Row, picture: Path, classes: int | None) -> Section:
    """Make the section on spread, rank and agreement of the features."""
    text = (
        f"Measured on two fixed views of {row['images_used']} {row['data']} images: "
        "features of the backbone and embeddings of the projector.",
    )
    caption = (
        "Left: a steep fall of the singular values means that few dimensions are in "
        "use. Second: a standard deviation near 0 means a collapsed dimension. Right: "
        "a cosine of 1 between time steps means that later steps repeat the first."
    )
    return Section(
        "Representation health",
        text,
        [Picture(picture, caption)],
        [health_table(row)],
        command=row["command"],
        verdicts=[
            health_verdict(row),
            prefix_verdict(rank_verdict(row, classes), "RankMe"),
        ],
    )


def command_of(rows: Rows) -> str:
    """Return the commands that computed the rows, one per line."""
    return "\n".join(dict.fromkeys(row["command"] for row in rows))


def facts(
    probes: Rows, steps: Rows, firing: Row, energy: Row, health: Row
) -> list[Fact]:
    """Return the most important numbers, each with its verdict."""
    found = []
    for group in grouped(probes):
        if "pretrained" in group:
            row = group["pretrained"]
            name, value = name_and_value(row)
            if settings := probe_settings_text(row["settings"]):
                name += f" ({settings})"
            found.append(Fact(name, value, probe_verdict(group)))
    trained_at = steps[0]["trained_at"]
    at = next((r for r in steps if r["time_steps"] == trained_at), None)
    if at:
        name = f"latency, one image, T = {trained_at}"
        found.append(Fact(name, f"{latency_text(at)} ms", latency_verdict(at)))
    layers = firing["layers"]
    rate = f"{100 * mean_rate(layers):.1f} %"
    found.append(Fact("firing rate, all neurons", rate, firing_verdict(layers)))
    low, high = sorted(t["energy_pj"] / 1e6 for t in energy["totals"][:2])
    value = f"{low:.2g} to {high:.2g} µJ"
    found.append(Fact("energy an image, estimated", value, energy_verdict(energy)))
    size = health["pretrained"]["backbone/dimensions"]
    rank = f"{health['pretrained']['backbone/rankme']:.1f} of {size}"
    verdict = rank_verdict(health, probes[0]["classes"])
    found.append(Fact("RankMe of the backbone's features", rank, verdict))
    return found
