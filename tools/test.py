#!/usr/bin/env python3
"""Evaluate a checkpoint: probes for pretraining, the dataset's metric otherwise.

usage: python tools/test.py CONFIG CHECKPOINT [--out FILE.json]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("test")
