#!/usr/bin/env python3
"""Export a pretrained backbone: to NIR, torch.export's .pt2 or ONNX.

usage: python tools/export.py CONFIG CHECKPOINT --format nir [--out FILE]
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("export")
