"""Energy is the formula's; tables, CSV and picture show all of it."""

import csv
import re

import numpy as np
import pytest
from matplotlib.image import imread

from snnssl_mm.analysis.plots.energy_plot import group_layers, plot_energy
from snnssl_mm.recording.energy import CONSTANTS, totals
from snnssl_mm.recording.energy_tables import (
    energy_markdown,
    format_number,
    layer_table,
    total_table,
    write_csv,
)


def layer(name, kind, macs, rate=None, once=None):
    part = name.split(".")[0]
    return dict(
        name=name,
        part=part,
        kind=kind,
        macs=macs,
        rate=rate,
        non_spiking_macs=macs if once is None else once,
    )


LAYERS = [
    layer("backbone.stem", "real", 100.0),
    layer("backbone.conv", "spikes", 4000.0, 0.25, once=1000.0),
    layer("backbone.mlp", "integers", 400.0, 1.5, once=100.0),
    layer("neck.conv", "real", 50.0),
]
# Worked out by hand: (MACs, SOPs) of the network, and of the non-spiking one.
COUNTED = {
    "integers as MACs": (100 + 400 + 50, 1000),
    "integers as spikes": (100 + 50, 1000 + 600),
}
NON_SPIKING = 100 + 1000 + 100 + 50


@pytest.mark.parametrize("constants", [(4.6, 0.9), (3.1, 0.1)])
@pytest.mark.parametrize("accounting", COUNTED)
def test_totals_are_those_of_the_formula(accounting, constants):
    mac, ac = constants
    (found,) = [
        total
        for total in totals(LAYERS)
        if total["accounting"] == accounting
        and (total["e_mac"], total["e_ac"]) == constants
    ]
    macs, sops = COUNTED[accounting]
    spiking, dense = mac * macs + ac * sops, mac * NON_SPIKING
    assert (found["macs"], found["sops"]) == (macs, sops)
    assert found["energy_pj"] == pytest.approx(spiking)
    assert found["non_spiking_pj"] == pytest.approx(dense)
    assert found["ratio"] == pytest.approx(spiking / dense)
    neck = mac * 50
    inside = (spiking - neck) / (dense - neck)
    assert found["backbone_ratio"] == pytest.approx(inside)


def test_every_pair_under_every_accounting_once():
    assert {(c.mac, c.ac) for c in CONSTANTS} == {(4.6, 0.9), (3.1, 0.1)}
    cases = [(t["e_mac"], t["accounting"]) for t in totals(LAYERS)]
    assert len(cases) == len(set(cases)) == 4


@pytest.fixture
def row():
    """A row of the results file."""
    return dict(
        config="config.py",
        checkpoint="weights.pth",
        sha256="0123456789ab",
        command="snnssl measure energy",
        parameters=1234,
        flops=9100.0,
        time_steps=4,
        images=64,
        layers=LAYERS,
        totals=totals(LAYERS),
    )


def test_csv_has_all_digits(row, tmp_path):
    with write_csv(row, tmp_path / "energy.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == [found["name"] for found in LAYERS]
    for total in totals(LAYERS):
        pair = f"{total['e_mac']}/{total['e_ac']} pJ"
        name = f"energy_pj, {total['accounting']}, {pair}"
        assert sum(float(line[name]) for line in lines) == total["energy_pj"]
    assert [line["rate"] for line in lines] == ["", "0.25", "1.5", ""]


def test_markdown_holds_every_layer_total_and_source(row):
    text = energy_markdown(row)
    for found in (*LAYERS, *(dict(name=c.name) for c in CONSTANTS)):
        assert found["name"] in text
    assert "E = E_MAC * MACs + E_AC * SOPs" in text
    assert len(re.findall(r"^\| (?:4.6|3.1) / ", text, re.MULTILINE)) == 4
    assert "0123456789ab" in text


def test_cells_of_the_tables(row):
    by_name = {cells[0]: cells[1:] for cells in layer_table(row).rows}
    assert by_name["backbone.mlp"][:2] == ["integers", "1.5000"]
    assert by_name["backbone.stem"][1] == by_name["backbone.stem"][3] == "-"
    ratios = [cells[-2] for cells in total_table(row).rows]
    assert ratios[0] == f"{(4.6 * 550 + 0.9 * 1000) / (4.6 * 1250):.3f}"


def test_numbers_without_exponent():
    values = (0, 0.000123, 0.0123, 3.6, 12.34, 99.96, 123.4, 1234567.0)
    expected = ["0", "0.0001", "0.0123", "3.60", "12.3", "100", "123", "1,234,567"]
    assert [format_number(value) for value in values] == expected


def test_many_layers_are_grouped_and_none_is_lost():
    many = [
        layer(f"backbone.blocks.{block}.mlp.{index}.conv", "spikes", 10.0, 0.5, 5.0)
        for block in range(12)
        for index in range(4)
    ]
    groups = group_layers(many)
    assert list(groups) == [f"backbone.blocks.{block}.mlp" for block in range(12)]
    assert [x for group in groups.values() for x in group] == many
    assert list(group_layers(many[:20])) == [found["name"] for found in many[:20]]


def test_picture_shows_every_bar(row, tmp_path):
    drawn = imread(plot_energy(row, tmp_path / "new" / "energy.png"))[..., :3]
    blue, orange = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)
    for colour in (blue, orange, (127, 127, 127), (204, 204, 204)):
        share = (np.abs(drawn - np.array(colour) / 255) < 0.01).all(-1).mean()
        assert share > 2e-4, colour
