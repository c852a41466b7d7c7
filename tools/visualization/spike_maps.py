#!/usr/bin/env python3
"""Draw where and when a backbone fires for an image: every layer, every time step.

usage: python tools/visualization/spike_maps.py CONFIG CHECKPOINT IMAGE --out PNG

For configs of pretraining, classification, detection and segmentation.
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.arguments import pattern
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
    add_out_argument(parser, "spike_maps.png", "picture to draw")
    parser.add_argument(
        "--layers",
        type=pattern,
        default="",
        metavar="REGEX",
        help="layers to draw, such as 'stem' or 'blocks.0'; all by default",
    )
    args = parse(parser)

    from snnssl_mm.analysis.spike_maps import plot_spike_maps, spike_maps
    from snnssl_mm.apis.loaded_models import load_backbone_and_image

    cfg = load_config(args)
    with errors_as_sentences():
        backbone, image = load_backbone_and_image(
            cfg, args.checkpoint, args.image, args.max_size
        )
        layers = spike_maps(backbone, image, args.layers)
    print(plot_spike_maps(layers, image.picture, args.out))


if __name__ == "__main__":
    run_tool(main)
