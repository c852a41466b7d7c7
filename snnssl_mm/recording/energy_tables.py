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
    share_of_real_macs,
)
from snnssl_mm.recording.table import Table

Row = Mapping[str, Any]
SHORT = {f"µJ {letter}": name for letter, name in zip("ab", ACCOUNTINGS, strict=True)}
"""Short column names of the table of layers, with the accountings that they mean."""


def format_number(value: float) -> str:
    """Format a number with 3 significant digits or more, without an exponent."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 0.001 else f"{value:.1g}"


def layer_table(row: Row) -> Table:
    """Make the table of layers: values per image, for the first of CONSTANTS.

    Args:
        row: A row of the results file of ``snnssl measure energy``.
    """
    constants = CONSTANTS[0]
    lines = []
    for layer in row["layers"]:
        # Show the SOPs of integers even though one accounting counts them as MACs.
        _, sops = operations(layer, ACCOUNTINGS[1])
        energies = [energy(layer, name, constants) for name in SHORT.values()]
        energies.append(constants.mac * layer["non_spiking_macs"])
        real = layer["rate"] is None
        lines.append(
            [
                layer["name"],
                layer["kind"],
                "-" if real else f"{layer['rate']:.4f}",
                format_number(layer["macs"] / 1e6),
                "-" if real else format_number(sops / 1e6),
                *(format_number(value / MICROJOULE) for value in energies),
            ]
        )
    head = ["layer", "input", "rate", "MACs, M", "SOPs, M", *SHORT, "µJ non-spiking"]
    meaning = ", ".join(f"{short[-1]}: {name}" for short, name in SHORT.items())
    caption = f"Layers, per image at {constants.mac} / {constants.ac} pJ ({meaning})"
    return Table(head, lines, caption, words=2)


def total_table(row: Row) -> Table:
    """Make the table of totals: both accountings, both pairs of constants."""
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
            constant_values(
                Constants(total["constants"], total["e_mac"], total["e_ac"])
            ),
            total["accounting"],
            format_number(total["macs"] / 1e6),
            format_number(total["sops"] / 1e6),
            format_number(total["energy_pj"] / MICROJOULE),
            format_number(total["non_spiking_pj"] / MICROJOULE),
            f"{total['ratio']:.3f}",
            f"{total['backbone_ratio']:.3f}",
        ]
        for total in row["totals"]
    ]
    return Table(head, lines, "Whole network, per image", words=2)


def constant_values(constants: Constants) -> str:
    """Return ``E_MAC / E_AC`` as text, in pJ."""
    return f"{constants.mac} / {constants.ac}"


def summary(row: Row) -> str:
    """Summarise the size of the network and of the measurement in one line."""
    mflops = format_number(row["flops"] / 1e6)
    real = [layer["name"] for layer in row["layers"] if layer["kind"] == "real"]
    share = f"{100 * share_of_real_macs(row['layers']):.1f} % of the MACs"
    some = ", ".join(real[:3]) + (f" and {len(real) - 3} more" if real[3:] else "")
    return (
        f"{row['parameters']:,} parameters, {mflops} MFLOPs per "
        f"image in {row['time_steps']} time steps; rates of {row['images']} images; "
        f"{share} not driven by spikes{': ' if some else ''}{some}"
    )


def energy_markdown(row: Row) -> str:
    """Make a Markdown document of a row: totals, formula, layers."""
    layers, totals = layer_table(row), total_table(row)
    sources = "\n".join(f"* {constant_values(c)} pJ: {c.name}" for c in CONSTANTS)
    return "\n\n".join(
        [
            f"# Energy of {row['config']}",
            f"Checkpoint {row['checkpoint']} ({row['sha256']}); {summary(row)}.",
            f"{totals.caption}:",
            "\n".join(totals.markdown()),
            f"```\n{FORMULA}\n```",
            f"E_MAC / E_AC:\n\n{sources}",
            f"{layers.caption}:",
            "\n".join(layers.markdown()),
            f"`{row['command']}`\n",
        ]
    )


def write_csv(row: Row, out: Path) -> Path:
    """Write operations and pJ per image of every layer, in full precision."""
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
