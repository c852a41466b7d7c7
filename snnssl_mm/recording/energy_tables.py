"""Tables of estimated energy for the terminal, Markdown and CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnssl_mm.recording.energy import (
    ACCOUNTINGS,
    CONSTANTS,
    FORMULA,
    MICROJOULE,
    Constants,
    energy,
    operations,
)
from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
SHORT = {f"µJ {letter}": name for letter, name in zip("ab", ACCOUNTINGS, strict=True)}
"""Columns of the layers' table; names of accountings would be too wide."""


def number(value: float) -> str:
    """Three digits or more, without an exponent; zero as such."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 0.001 else f"{value:.1g}"


def layer_table(row: Row) -> Table:
    """Show every layer: per image, at the first of CONSTANTS.

    Args:
        row: Of the results file of ``snnssl measure energy``, as in all of these.
    """
    constants = CONSTANTS[0]
    lines = []
    for layer in row["layers"]:
        # SOPs of integers are shown also where the accounting takes them for MACs.
        _, sops = operations(layer, ACCOUNTINGS[1])
        energies = [energy(layer, name, constants) for name in SHORT.values()]
        energies.append(constants.mac * layer["non_spiking_macs"])
        real = layer["rate"] is None
        lines.append(
            [
                layer["name"],
                layer["kind"],
                "-" if real else f"{layer['rate']:.4f}",
                number(layer["macs"] / 1e6),
                "-" if real else number(sops / 1e6),
                *(number(value / MICROJOULE) for value in energies),
            ]
        )
    head = ["layer", "input", "rate", "MACs, M", "SOPs, M", *SHORT, "µJ non-spiking"]
    meaning = ", ".join(f"{short[-1]}: {name}" for short, name in SHORT.items())
    caption = f"Layers, per image at {constants.mac} / {constants.ac} pJ ({meaning})"
    return Table(head, lines, caption, words=2)


def total_table(row: Row) -> Table:
    """Show the network under both accountings and both pairs of constants."""
    head = [
        "E_MAC / E_AC, pJ",
        "accounting",
        "MACs, M",
        "SOPs, M",
        "µJ",
        "non-spiking, µJ",
        "ratio",
        "of the backbone",
    ]
    lines = [
        [
            pair_of(Constants(total["constants"], total["e_mac"], total["e_ac"])),
            total["accounting"],
            number(total["macs"] / 1e6),
            number(total["sops"] / 1e6),
            number(total["energy_pj"] / MICROJOULE),
            number(total["non_spiking_pj"] / MICROJOULE),
            f"{total['ratio']:.3f}",
            f"{total['backbone_ratio']:.3f}",
        ]
        for total in row["totals"]
    ]
    return Table(head, lines, "Whole network, per image", words=2)


def pair_of(constants: Constants) -> str:
    """Name a pair of constants by its values, in pJ."""
    return f"{constants.mac} / {constants.ac}"


def summary(row: Row) -> str:
    """Size of the network and of the measurement, in one line."""
    return (
        f"{row['parameters']:,} parameters, {number(row['flops'] / 1e6)} MFLOPs per "
        f"image in {row['time_steps']} time steps; rates of {row['images']} images"
    )


def energy_markdown(row: Row) -> str:
    """Everything as a Markdown document: totals, formula, layers."""
    layers, whole = layer_table(row), total_table(row)
    sources = "\n".join(f"* {pair_of(c)} pJ: {c.name}" for c in CONSTANTS)
    return "\n\n".join(
        [
            f"# Energy of {row['config']}",
            f"Checkpoint {row['checkpoint']} ({row['sha256']}); {summary(row)}.",
            f"{whole.caption}:",
            "\n".join(whole.markdown()),
            f"```\n{FORMULA}\n```",
            f"E_MAC / E_AC:\n\n{sources}",
            f"{layers.caption}:",
            "\n".join(layers.markdown()),
            f"`{row['command']}`\n",
        ]
    )


def write_csv(row: Row, out: Path) -> Path:
    """Write the layers with all digits: operations and pJ per image."""
    energies = {
        f"energy_pj, {accounting}, {constants.mac}/{constants.ac} pJ": (
            accounting,
            constants,
        )
        for constants in CONSTANTS
        for accounting in ACCOUNTINGS
    }
    facts = ("name", "part", "kind", "rate", "macs", "non_spiking_macs")
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*facts, "sops", *energies])
        for layer in row["layers"]:
            _, sops = operations(layer, ACCOUNTINGS[1])
            values = [energy(layer, *how) for how in energies.values()]
            writer.writerow([*(layer[fact] for fact in facts), sops, *values])
    return out
