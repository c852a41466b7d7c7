#!/usr/bin/env python3
"""Measure time steps, firing rates, energy or representation health.

usage: python tools/measure.py KIND CONFIG CHECKPOINT [--out FILE.json]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("measure")
