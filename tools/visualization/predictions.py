#!/usr/bin/env python3
"""Draw what detectors and segmentors find on the same test images, beside the truth.

usage: python tools/visualization/predictions.py NAME=CONFIG,CHECKPOINT ... --out PNG

The first detector and the first segmentor give the columns of the truth.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from snnssl_mm.cli.arguments import picture, positive
from snnssl_mm.cli.config_files import find_config
from snnssl_mm.cli.tooling import (
    add_trust_argument,
    errors_as_sentences,
    load_config,
    parse,
    run_folder,
    run_tool,
)

if TYPE_CHECKING:
    from mmengine.config import Config

    from snnssl_mm.analysis.predictions import Column

TRUTH = {"mmdet": "annotated boxes", "mmseg": "annotated classes"}


class Named(NamedTuple):
    """A model and its column's title."""

    name: str
    config: str
    checkpoint: str


def named(text: str) -> Named:
    """Read ``NAME=CONFIG,CHECKPOINT``."""
    name, _, files = text.partition("=")
    config, _, checkpoint = files.rpartition(",")
    if not (name and config and checkpoint):
        raise argparse.ArgumentTypeError(f"expected NAME=CONFIG,CHECKPOINT, got {text}")
    return Named(name, find_config(config), checkpoint)


def config_of(model: Named) -> Config:
    """Read a model's config.

    Raises:
        SystemExit: If a file is missing, or the config is of another task.
    """
    cfg = load_config(argparse.Namespace(cfg_options=None, **model._asdict()))
    if cfg.get("default_scope") not in TRUTH or not cfg.get("test_dataloader"):
        raise SystemExit(
            f"error: {model.config} is of no detector or segmentor with a "
            f"test_dataloader (default_scope={cfg.get('default_scope')!r})"
        )
    return cfg


def columns_of(models: list[Named], count: int) -> list[Column]:
    """Predict with every model."""
    from mmengine.runner import Runner

    from snnssl_mm.analysis.predictions import Column, predict
    from snnssl_mm.probing.probes import load_model

    columns: list[Column] = []
    scopes = set()
    for model, cfg in [(model, config_of(model)) for model in models]:
        with errors_as_sentences():
            network = load_model(cfg, model.checkpoint)
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        samples = predict(network, loader, count)
        metainfo = loader.dataset.metainfo
        if cfg.default_scope not in scopes:
            title = TRUTH[cfg.default_scope]
            columns.append(Column(title, samples, metainfo, truth=True))
            scopes.add(cfg.default_scope)
        columns.append(Column(model.name, samples, metainfo))
    return columns


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "models", nargs="+", type=named, metavar="NAME=CONFIG,CHECKPOINT"
    )
    parser.add_argument(
        "--out",
        type=picture,
        help="picture to draw; work_dirs/<run>/predictions.png of the first checkpoint "
        "by default",
    )
    parser.add_argument(
        "--count", type=positive(int), default=5, help="number of test images"
    )
    add_trust_argument(parser)
    args = parse(parser)
    if args.out is None:
        _, config, checkpoint = args.models[0]
        args.out = run_folder(checkpoint, config) / "predictions.png"

    from snnssl_mm.analysis.predictions import plot_predictions

    print(plot_predictions(columns_of(args.models, args.count), args.out))


if __name__ == "__main__":
    run_tool(main)
