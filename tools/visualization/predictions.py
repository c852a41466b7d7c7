#!/usr/bin/env python3
"""Draw what detectors and segmentors find on the same test images, beside the truth.

usage: python tools/visualization/predictions.py NAME=CONFIG,CHECKPOINT ... --out PNG

The first detector and the first segmentor give the columns of the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.tooling import (
    add_trust_argument,
    errors_as_sentences,
    run_folder,
    run_tool,
)

if TYPE_CHECKING:
    from snnssl_mm.analysis.predictions import Column


def columns_of(models: list[str], count: int) -> list[Column]:
    """Predict with every model."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    from snnssl_mm.analysis.predictions import Column, predict
    from snnssl_mm.engine.probes import load_model

    columns: list[Column] = []
    scopes = set()
    for model in models:
        name, files = model.split("=", 1)
        config, checkpoint = files.split(",")
        cfg = Config.fromfile(config)
        with errors_as_sentences():
            network = load_model(cfg, checkpoint)
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        samples = predict(network, loader, count)
        metainfo = loader.dataset.metainfo
        if cfg.default_scope not in scopes:
            what = {"mmdet": "boxes", "mmseg": "classes"}[cfg.default_scope]
            columns.append(Column(f"annotated {what}", samples, metainfo, truth=True))
            scopes.add(cfg.default_scope)
        columns.append(Column(name, samples, metainfo))
    return columns


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="NAME=CONFIG,CHECKPOINT")
    parser.add_argument(
        "--out",
        type=Path,
        help="picture to draw; work_dirs/<run>/predictions.png of the first checkpoint "
        "by default",
    )
    parser.add_argument("--count", type=int, default=5, help="number of test images")
    add_trust_argument(parser)
    args = parser.parse_args()
    if args.out is None:
        config, _, checkpoint = args.models[0].partition("=")[2].partition(",")
        args.out = run_folder(checkpoint, config) / "predictions.png"

    from snnssl_mm.analysis.predictions import plot_predictions

    print(plot_predictions(columns_of(args.models, args.count), args.out))


if __name__ == "__main__":
    run_tool(main)
