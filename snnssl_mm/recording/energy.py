"""Energy of a spiking network by the field's model: estimated from operations.

No chip is measured, and moving data, which costs more than computing, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

BACKBONE = "backbone"
"""The part of a model in which spikes count."""

MICROJOULE = 1e6
"""pJ in a µJ."""

Layer = Mapping[str, Any]
"""Per image: name, part, kind, macs, rate, non_spiking_macs; as results files hold it.

``part`` is the first component of the name (``backbone``, ``neck``), ``kind`` one of
``'spikes'``, ``'integers'`` (spikes that were added up) and ``'real'``. A layer outside
a spiking backbone has kind ``'real'`` whatever its input.
"""


class Constants(NamedTuple):
    """Energy of one operation.

    Attributes:
        name: Where the values are from.
        mac: Of multiplying and accumulating, pJ.
        ac: Of accumulating, pJ.
    """

    name: str
    mac: float
    ac: float


CONSTANTS = (
    Constants("45 nm, float32 (Horowitz, ISSCC 2014)", 4.6, 0.9),
    Constants("reported for arXiv 2511.18542; 32-bit integer figures", 3.1, 0.1),
)

ACCOUNTINGS = ("integers as MACs", "integers as spikes")
"""What a layer costs whose input is a sum of spikes.

The first multiplies by the integer, as for any number that is not binary; the second
adds the weight as often as the integer says, so that its rate may exceed 1. Published
numbers follow either one, without saying which.
"""

FORMULA = """\
E = E_MAC * MACs + E_AC * SOPs
SOPs of a layer = rate of its input * MACs of all time steps
  spikes    SOPs; rate: share of ones (firing rate)
  integers  MACs ("integers as MACs"), or SOPs with the mean value as rate
            ("integers as spikes")
  real      MACs; so are necks and heads, whatever their input
Products in attention: the rate of the operand of spikes; of two, the smaller one.
Non-spiking network: the same layers once instead of T times, every operation a MAC.
A still image passes the first layer once, not T times. What heads do per proposal
depends on the images and on the heads' weights.
Not counted: batch norm (folded into the layer before it), bias, pooling, the neurons'
own updates, additions of shortcuts, reading and writing of memory.
FLOPs = 2 * MACs of all time steps; many papers and mmengine call the MACs FLOPs."""


def operations(layer: Layer, accounting: str) -> tuple[float, float]:
    """MACs and SOPs per image of a layer.

    Args:
        layer: The layer.
        accounting: One of :data:`ACCOUNTINGS`.
    """
    binary = layer["kind"] == "spikes"
    if binary or (layer["kind"] == "integers" and accounting == ACCOUNTINGS[1]):
        return 0.0, layer["rate"] * layer["macs"]
    return layer["macs"], 0.0


def energy(layer: Layer, accounting: str, constants: Constants) -> float:
    """Energy per image of a layer, pJ."""
    macs, sops = operations(layer, accounting)
    return constants.mac * macs + constants.ac * sops


def compare(
    layers: Sequence[Layer], accounting: str, constants: Constants
) -> tuple[float, float]:
    """Energy per image of layers, and of the equal non-spiking ones, pJ."""
    spiking = sum(energy(layer, accounting, constants) for layer in layers)
    return spiking, constants.mac * sum(layer["non_spiking_macs"] for layer in layers)


def totals(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Energy per image of a network under every accounting and pair of constants.

    Returns:
        Dicts of ``accounting``, ``constants``, ``e_mac`` and ``e_ac`` (pJ), ``macs``,
        ``sops``, ``energy_pj`` and ``non_spiking_pj`` (pJ per image), ``ratio`` of the
        two, and ``backbone_ratio``, that of the backbone alone.
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
