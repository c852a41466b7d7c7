"""Print a config with everything that it inherits; the output is a valid config."""

from __future__ import annotations

import argparse

from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the config."""
    print(load_config(args).pretty_text)
