#!/usr/bin/env python3
"""Draw a network at work, its features, its predictions, or the curves of a run.

usage: python tools/draw.py KIND ... [--out PNG]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("draw")
