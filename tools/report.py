#!/usr/bin/env python3
"""Write everything about a pretrained checkpoint as one HTML page and as Markdown.

usage: python tools/report.py CHECKPOINT [--config FILE] [--out FOLDER]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("report")
