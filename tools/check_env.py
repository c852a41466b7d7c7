#!/usr/bin/env python3
"""Print what is installed, and which known problems of the environment are fixed.

usage: python tools/check_env.py
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("doctor")
