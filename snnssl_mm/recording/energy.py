"""Energy of a spiking network, estimated from its operations (the field's usual model).

This is no measurement of a chip, and it leaves out the movement of data, which costs
more than computing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

BACKBONE = "backbone"
"""The part of a model that every energy is also given for."""

MICROJOULE = 1e6
"""pJ in a µJ."""

Layer = Mapping[str, Any]
"""Operations per image of a layer, in the format of the results file.

The keys are ``name``, ``part`` (first component of the name: ``backbone``, ``neck``),
``kind`` (``'spikes'``, ``'integers'``: sums of spikes, or ``'real'``), ``macs``,
``rate`` and ``non_spiking_macs``. A layer of a neck or head without spiking neurons
always has kind ``'real'``.
"""


class Constants(NamedTuple):
    """Energy of one operation.

    Attributes:
        name: Source of the values.
        mac: Energy of one multiply-accumulate operation, pJ.
        ac: Energy of one accumulate operation, pJ.
    """

    name: str
    mac: float
    ac: float


CONSTANTS = (
    Constants("45 nm, float32 (Horowitz, ISSCC 2014)", 4.6, 0.9),
    Constants("reported for arXiv 2511.18542; 32-bit integer figures", 3.1, 0.1),
)
"""Pairs of energies that publications use."""

ACCOUNTINGS = ("integers as MACs", "integers as spikes")
"""How to count a layer whose input is a sum of spikes.

The first multiplies by the integer, as by any number that is not binary. The second
adds the weight as many times as the integer says, so the rate can exceed 1. Published
numbers follow one or the other without saying which.
"""

FORMULA = """\
E = E_MAC * MACs + E_AC * SOPs
SOPs of a layer = rate of its input * MACs of all time steps
  spikes    SOPs; rate: share of ones (firing rate)
  integers  MACs ("integers as MACs"), or SOPs with the mean value as rate
            ("integers as spikes")
  real      MACs; so is all that a neck or head without spiking neurons computes
Products in attention: the rate of the operand of spikes; of two, the smaller one.
Non-spiking network: the same layers once instead of T times, every operation a MAC.
A still image passes the first layer once, not T times. What heads do per proposal
depends on the images and on the heads' weights.
Not counted: batch norm (folded into the layer before it), bias, pooling, the neurons'
own updates, additions of shortcuts, reading and writing of memory.
FLOPs = 2 * MACs of all time steps; many papers and mmengine call the MACs FLOPs."""


def operations(layer: Layer, accounting: str) -> tuple[float, float]:
    """Return the MACs and SOPs per image of a layer.

    Args:
        layer: The layer.
        accounting: One of :data:`ACCOUNTINGS`.
    """
    binary = layer["kind"] == "spikes"
    if binary or (layer["kind"] == "integers" and accounting == ACCOUNTINGS[1]):
        return 0.0, layer["rate"] * layer["macs"]
    return layer["macs"], 0.0


def energy(layer: Layer, accounting: str, constants: Constants) -> float:
    """Return the energy per image of a layer, pJ."""
    macs, sops = operations(layer, accounting)
    return constants.mac * macs + constants.ac * sops


def compare(
    layers: Sequence[Layer], accounting: str, constants: Constants
) -> tuple[float, float]:
    """Return the energy per image of layers, and of their non-spiking equals, pJ."""
    spiking = sum(energy(layer, accounting, constants) for layer in layers)
    return spiking, constants.mac * sum(layer["non_spiking_macs"] for layer in layers)


def totals(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Sum the energy of a network for every accounting and pair of constants.

    Returns:
        One dict each, with ``accounting``, ``constants``, ``e_mac`` and ``e_ac`` (pJ),
        ``macs``, ``sops``, ``energy_pj`` and ``non_spiking_pj`` (pJ per image), their
        ``ratio``, and ``backbone_ratio``, the ratio for the backbone alone.
    """
    backbone = [layer for layer in layers if layer["part"] == BACKBONE]
    results = []
    for constants in CONSTANTS:
        for accounting in ACCOUNTINGS:
            counted = [operations(layer, accounting) for layer in layers]
            total, non_spiking = compare(layers, accounting, constants)
            inside, non_spiking_inside = compare(backbone, accounting, constants)
            results.append(
                {
                    "accounting": accounting,
                    "constants": constants.name,
                    "e_mac": constants.mac,
                    "e_ac": constants.ac,
                    "macs": sum(macs for macs, _ in counted),
                    "sops": sum(sops for _, sops in counted),
                    "energy_pj": total,
                    "non_spiking_pj": non_spiking,
                    "ratio": total / non_spiking,
                    "backbone_ratio": inside / non_spiking_inside,
                }
            )
    return results


def share_of_real_macs(layers: Sequence[Layer]) -> float:
    """Return the share of operations that no spikes drive, 0 to 1.

    Counted in MACs of the equal non-spiking network, in which every layer runs once:
    the share does not depend on the number of time steps.
    """
    real = sum(x["non_spiking_macs"] for x in layers if x["kind"] == "real")
    return float(real / sum(layer["non_spiking_macs"] for layer in layers))
