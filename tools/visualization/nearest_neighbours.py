#!/usr/bin/env python3
"""Draw test images beside their nearest training images in feature space.

usage: python tools/visualization/nearest_neighbours.py CONFIG CHECKPOINT [--out PNG]
"""

from __future__ import annotations

import argparse

from snnssl_mm.cli.tooling import (
    add_config_arguments,
    add_out_argument,
    errors_as_sentences,
    load_config,
    parse,
    run_tool,
)

MAX_SAMPLES = 5_000  # of the training and of the test images; all are kept in memory


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_config_arguments(parser, checkpoint=True)
    add_out_argument(parser, "neighbours.png", "picture to draw")
    args = parse(parser)

    from snnssl_mm.analysis.neighbours import plot_neighbours, to_pictures
    from snnssl_mm.probing.labelled_images import class_names
    from snnssl_mm.probing.probes import (
        collect,
        eval_loaders,
        labelled_features,
        load_model,
    )

    cfg = load_config(args)
    with errors_as_sentences():
        model = load_model(cfg, args.checkpoint)
    cfg.max_probe_samples = MAX_SAMPLES
    loaders = eval_loaders(cfg)
    train, test = (
        to_pictures(collect(model, loader, lambda inputs: inputs)[0])
        for loader in loaders
    )
    features, names = labelled_features(model, loaders), class_names(loaders[1].dataset)
    print(plot_neighbours(features, (train, test), args.out, names=names))


if __name__ == "__main__":
    run_tool(main)
