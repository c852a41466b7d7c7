#!/usr/bin/env python3
"""Find mistakes in a config before training.

usage: python tools/check_config.py configs/selfsup/spikformer_ctl.py [options]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("check")
