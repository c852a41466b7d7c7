#!/usr/bin/env python3
"""Draw which neurons of each layer fire when, image after image.

usage: python tools/visualization/spike_raster.py CONFIG CHECKPOINT [--out PNG]

Of the config's unseen images (``eval_test_dataloader``), one of each class in turn.
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.arguments import positive, seed_number
from snnssl_mm.cli.tooling import (
    add_config_arguments,
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
    add_out_argument(parser, "spike_raster.png", "picture to draw")
    parser.add_argument("--images", type=positive(int), default=8)
    parser.add_argument(
        "--neurons", type=positive(int), default=64, help="of each layer (64)"
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="chooses the neurons"
    )
    args = parse(parser)

    from snnssl_mm.analysis.sample_images import sample_images
    from snnssl_mm.analysis.spike_raster import plot_spike_rasters, spike_rasters
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.probing.probes import eval_loaders

    cfg = load_config(args)
    with errors_as_sentences():
        model = load_pictured_model(cfg, args.checkpoint)
        samples = sample_images(model, eval_loaders(cfg).test, args.images)
        rasters = spike_rasters(model.backbone, samples.inputs, args.neurons, args.seed)
    print(plot_spike_rasters(rasters, args.out))


if __name__ == "__main__":
    run_tool(main)
