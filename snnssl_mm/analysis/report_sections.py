"""The sections of a report, from the results files of the other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from snnssl_mm.analysis.energy import CONSTANTS, FORMULA
from snnssl_mm.analysis.energy_tables import layer_table, summary, total_table
from snnssl_mm.analysis.firing_rates import firing_rates_table, mean_rate
from snnssl_mm.analysis.probe_table import described, probe_table
from snnssl_mm.analysis.report import Fact, Picture, Section
from snnssl_mm.analysis.representation_health import health_table
from snnssl_mm.analysis.time_steps import time_steps_table

Row = Mapping[str, Any]
Rows = Sequence[Row]


def probes_section(rows: Rows) -> Section:
    """Probes of frozen and of trained networks."""
    text = (
        "Features are the mean over time and space of the backbone's last map, on the "
        "spiking path, with BatchNorm statistics taken anew on that path. Random: the "
        "same network with fresh weights.",
    )
    return Section("Probes", text, tables=[probe_table(rows)], command=command_of(rows))


def time_steps_section(rows: Rows, picture: Path) -> Section:
    """The T sweep."""
    text = (
        "The same weights at other numbers of time steps; BatchNorm statistics are "
        "recalibrated at each. A linear probe is fitted at every T, another one at the "
        "T of the pretraining is kept.",
    )
    caption = "Accuracy, latency of one image at a time, and energy over time steps"
    return Section(
        "Time steps",
        text,
        [Picture(picture, caption)],
        [time_steps_table(rows)._replace(caption="")],
        command=command_of(rows),
    )


def firing_rates_section(row: Row, picture: Path) -> Section:
    """Layer by layer, how often neurons fire."""
    layers = row["layers"]
    dead, saturated, neurons = (
        sum(layer[name] for layer in layers)
        for name in ("dead", "saturated", "neurons")
    )
    text = (
        f"Of {neurons:,} neurons, {dead:,} ({100 * dead / neurons:.1f} %) fired for "
        f"none of {row['images_used']} unseen images (dead) and {saturated:,} at every "
        "step of every image (saturated).",
    )
    return Section(
        "Firing rates",
        text,
        [Picture(picture, "Firing rate of every layer at every time step")],
        details=[firing_rates_table(row)],
        command=row["command"],
    )


def energy_section(row: Row, picture: Path) -> Section:
    """Operations and energy."""
    pairs = "; ".join(f"{c.mac} / {c.ac} pJ: {c.name}" for c in CONSTANTS)
    text = (
        f"Estimated from operations, not measured on a chip. {summary(row)}. "
        f"E_MAC / E_AC of {pairs}.",
    )
    return Section(
        "Energy",
        text,
        [Picture(picture, "Energy of the network and of its layers")],
        [total_table(row)],
        [layer_table(row)],
        formula=FORMULA,
        command=row["command"],
    )


def health_section(row: Row, picture: Path) -> Section:
    """Spread, rank and agreement of the features."""
    text = (
        f"Measured on two fixed views of {row['images_used']} {row['data']} images: "
        "features of the backbone and embeddings of the projector.",
    )
    caption = "Singular values, spread of the dimensions, and likeness of time steps"
    return Section(
        "Representation health",
        text,
        [Picture(picture, caption)],
        [health_table(row)],
        command=row["command"],
    )


def command_of(rows: Rows) -> str:
    """The commands that rows are from, one a line."""
    return "\n".join(dict.fromkeys(row["command"] for row in rows))


def facts(
    probes: Rows, steps: Rows, firing: Row, energy: Row, health: Row
) -> list[Fact]:
    """What a reader looks for first."""
    found = []
    for name, title in (("linear", "linear probe"), ("knn", "k-NN")):
        best = {r["start"]: 100 * r["top1"] for r in probes if r["probe"] == name}
        row = next(r for r in probes if r["probe"] == name)
        parts = [f"random weights {best['random']:.1f} %", described(row["settings"])]
        note = "; ".join(filter(None, parts))
        found.append(Fact(title, f"{best['pretrained']:.1f} %", note))
    trained_at = steps[0]["trained_at"]
    at = next((r for r in steps if r["time_steps"] == trained_at), None)
    if at:
        note = f"one image, T = {trained_at}"
        found.append(Fact("latency", f"{at['latency_ms'][1]:.2f} ms", note))
    layers = firing["layers"]
    rates = [fmean(layer["rates"]) for layer in layers]
    note = f"layers from {100 * min(rates):.1f} to {100 * max(rates):.1f} %"
    found.append(Fact("firing rate", f"{100 * mean_rate(layers):.1f} %", note))
    first, second = energy["totals"][:2]
    ratios = " or ".join(f"{total['ratio']:.2f}" for total in (second, first))
    note = f"{ratios} of the non-spiking network's"
    low, high = sorted(t["energy_pj"] / 1e6 for t in (first, second))
    found.append(Fact("energy", f"{low:.2g} to {high:.2g} µJ", note))
    rank = health["pretrained"]["backbone/rankme"]
    size = health["pretrained"]["backbone/dimensions"]
    found.append(Fact("RankMe", f"{rank:.1f}", f"of {size} dimensions"))
    return found
