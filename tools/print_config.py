#!/usr/bin/env python3
"""Print a config with everything that it inherits.

usage: python tools/print_config.py CONFIG [--cfg-options KEY=VALUE ...]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("config")
