#!/usr/bin/env python3
"""Draw where spiking self-attention looks in an image: every block, head by head.

usage: python tools/visualization/attention_maps.py CONFIG CHECKPOINT IMAGE --out PNG

For Spikformers, in configs of pretraining, classification, detection and segmentation.
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.arguments import positive
from snnssl_mm.cli.tooling import (
    add_config_arguments,
    add_image_arguments,
    add_out_argument,
    errors_as_sentences,
    load_config,
    parse,
    run_tool,
)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser, checkpoint=True)
    add_image_arguments(parser)
    add_out_argument(parser, "attention_maps.png", "picture to draw")
    parser.add_argument(
        "--heads", type=positive(int), default=6, help="heads drawn at most (6)"
    )
    args = parse(parser)

    from snnssl_mm.analysis.attention_maps import attention_maps, plot_attention_maps
    from snnssl_mm.apis.loaded_models import load_backbone_and_image

    cfg = load_config(args)
    with errors_as_sentences():
        backbone, image = load_backbone_and_image(
            cfg, args.checkpoint, args.image, args.max_size
        )
        blocks = attention_maps(backbone, image)
    print(plot_attention_maps(blocks, image.picture, args.out, args.heads))


if __name__ == "__main__":
    run_tool(main)
