#!/usr/bin/env python3
"""Run a grid of small pretrainings: what helps and what does not.

usage: python tools/ablation.py [--grid "loss neuron" --grid "steps=1,2,4"] [--seeds 0]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("ablate")
