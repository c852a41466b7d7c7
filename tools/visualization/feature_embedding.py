#!/usr/bin/env python3
"""Draw features of unseen images in the plane (t-SNE), coloured by class.

usage: python tools/visualization/feature_embedding.py CONFIG CHECKPOINT [--out PNG]

Beside them, features of the same network with random weights.
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.arguments import positive
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
    add_out_argument(parser, "feature_embedding.png", "picture to draw")
    parser.add_argument(
        "--images", type=positive(int), default=1000, help="at most (1000)"
    )
    args = parse(parser)

    from snnssl_mm.analysis.feature_embedding import embed_test_images, plot_embedding
    from snnssl_mm.apis.loaded_models import load_pictured_model
    from snnssl_mm.probing.probes import eval_loaders, random_init_model

    cfg = load_config(args)
    with errors_as_sentences():
        pretrained = load_pictured_model(cfg, args.checkpoint)
        cfg.max_probe_samples = args.images
        loaders = eval_loaders(cfg)
    models = {"pretrained": pretrained, "random weights": random_init_model(cfg)}
    panels, classes = embed_test_images(models, loaders)
    print(plot_embedding(panels, classes, args.out))


if __name__ == "__main__":
    run_tool(main)
