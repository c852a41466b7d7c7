"""Measure a checkpoint; rows already present in the results file are skipped."""

from __future__ import annotations

import argparse

from snnssl_mm.cli.measure import energy, firing_rates, health, time_steps
from snnssl_mm.cli.shared.kinds import add_kinds, kind_of_module

RESUME_OPTION = ""
KINDS = {
    "time-steps": kind_of_module(time_steps),
    "firing-rates": kind_of_module(firing_rates),
    "energy": kind_of_module(energy),
    "health": kind_of_module(health),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kinds with their arguments."""
    add_kinds(parser, KINDS)
