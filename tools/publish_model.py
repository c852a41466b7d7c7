#!/usr/bin/env python3
"""Write a checkpoint for others: weights and plain values, its SHA-256 in the name.

usage: python tools/publish_model.py CHECKPOINT NAME [--out DIR]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("zoo", "publish")
