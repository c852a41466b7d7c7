#!/usr/bin/env python3
"""Convert a backbone's checkpoint from or to another project's layout.

usage: python tools/convert.py CHECKPOINT [--out OUT.pth] [--to LAYOUT]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("convert")
