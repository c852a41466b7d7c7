"""Draw the network's inputs of a config, as one picture.

Originals above their augmented views, then the images of the evaluation loaders.
Recordings of event cameras are clips of frames (ON red, OFF blue).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from snnssl_mm.cli.shared.arguments import positive, seed_number
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments, add_out_argument

LOADERS = tuple(
    f"{name}_dataloader" for name in ("train", "eval_train", "eval_test", "val")
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--num",
        type=positive(int),
        default=8,
        help="samples per row (8); of clips as many as fit",
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="seed for samples and views (0)"
    )
    add_out_argument(parser, "browse_dataset.png", "picture to draw")


def run(args: argparse.Namespace) -> None:
    """Draw samples of a config's data loaders."""
    import numpy as np
    import torch
    from mmengine.registry import DATASETS, init_default_scope

    from snnssl_mm.analysis.dataset_pictures import draw_rows, read_rows
    from snnssl_mm.checkpoints.preprocessing import (
        exchanges_channels,
        preprocessor_settings,
    )

    config = load_config(args)
    file = Path(args.config)
    init_default_scope(config.get("default_scope", "mmpretrain"))
    np.random.seed(args.seed)  # noqa: NPY002  (mmcv's transforms use the global one)
    torch.manual_seed(args.seed)
    bgr = exchanges_channels(preprocessor_settings(config))
    loaders = {
        key.removesuffix("_dataloader").replace("_", " "): config[key]
        for key in LOADERS
        if config.get(key)
    }
    if not loaders:
        raise ValueError(
            f"{file} has no data loader to show; expected one of {', '.join(LOADERS)}"
        )
    rows = []
    for name, loader in loaders.items():
        dataset = DATASETS.build(loader["dataset"])
        heading = f"{name}\n({len(dataset):,})"
        rows += read_rows(dataset, heading, args.num, args.seed, bgr)
    dataset = next(iter(loaders.values()))["dataset"]
    while "dataset" in dataset:  # a wrapper, such as RepeatDataset
        dataset = dataset["dataset"]
    kind = str(dataset["type"]).split(".")[-1]
    out = draw_rows(rows, f"{kind}, as {file.name} reads it", args.out)
    print(f"wrote {out}")
