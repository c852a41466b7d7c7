#!/usr/bin/env python3
"""Predict on images: drawn results, and predictions as files.

usage: python tools/infer.py CONFIG CHECKPOINT IMAGES [--out DIR]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("infer")
