#!/usr/bin/env python3
"""Draw what a config feeds to the network, as one picture.

usage: python tools/browse_dataset.py CONFIG [--num 8] [--out PNG]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("browse")
