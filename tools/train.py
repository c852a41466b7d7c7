#!/usr/bin/env python3
"""Train anything of the three scopes: pretraining, detection, segmentation.

usage: python tools/train.py configs/selfsup/spikformer_ctl.py [options]

On several GPUs:
  torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --launcher pytorch
"""

from snnssl_mm.cli.main import main

if __name__ == "__main__":
    main("train")
