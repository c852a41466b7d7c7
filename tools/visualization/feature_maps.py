#!/usr/bin/env python3
"""Draw what a backbone hands on: its feature maps of an image, level by level.

usage: python tools/visualization/feature_maps.py CONFIG CHECKPOINT IMAGE --out PNG

For configs of pretraining, classification, detection and segmentation. All levels of
a Spikformer: --cfg-options "model.backbone.out_indices=(0,1,2,3)"
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
    add_out_argument(parser, "feature_maps.png", "picture to draw")
    parser.add_argument(
        "--channels",
        type=positive(int),
        default=6,
        help="channels drawn of each level (6)",
    )
    args = parse(parser)

    from snnssl_mm.analysis.feature_maps import feature_maps, plot_feature_maps
    from snnssl_mm.apis.loaded_models import load_backbone_and_image

    cfg = load_config(args)
    with errors_as_sentences():
        backbone, image = load_backbone_and_image(
            cfg, args.checkpoint, args.image, args.max_size
        )
    levels = feature_maps(backbone, image)
    print(plot_feature_maps(levels, image.picture, args.out, args.channels))


if __name__ == "__main__":
    run_tool(main)
