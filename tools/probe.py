#!/usr/bin/env python3
"""Judge a pretrained backbone by labelled images: one table, one results file.

usage: python tools/probe.py CONFIG CHECKPOINT [--probes knn linear finetune ...]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("probe")
