#!/usr/bin/env python3
"""Write a folder of configs for your own images, sized for them and this machine.

usage: python tools/new_project.py IMAGES [--labels LABELS] [--out DIR] [--minutes M]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("new")
