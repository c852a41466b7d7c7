#!/usr/bin/env python3
"""Print a config with everything it inherits.

usage: python tools/print_config.py CONFIG [--cfg-options KEY=VALUE ...]
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.tooling import add_config_arguments, load_config, parse, run_tool


def main() -> None:
    """Print the merged config as text that is itself a config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser)
    print(load_config(parse(parser)).pretty_text)


if __name__ == "__main__":
    run_tool(main)
