#!/usr/bin/env python3
"""Run the main job from end to end on the embedded data and say what came out.

usage: python tools/demo.py [--seeds 0] [--work-dir work_dirs/demo] [--out FILE.json]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("demo")
