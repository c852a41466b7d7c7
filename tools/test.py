#!/usr/bin/env python3
"""Evaluate a checkpoint: probes for pretraining, the dataset's metric otherwise.

usage: python tools/test.py CONFIG CHECKPOINT [--out FILE.json]

A pretrained model is judged by k-NN and by a linear probe on its frozen, fully
spiking features, beside a random network and raw pixels. For every other config
this is mmengine's ``Runner.test``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

import snnssl_mm  # noqa: F401  (makes mmseg:: and snnssl_mm:: bases work)
from snnssl_mm.engine.probes import (
    eval_loaders,
    knn_accuracy,
    labelled_features,
    linear_accuracy,
    load_model,
    random_init_model,
    raw_pixels,
)

Results = dict[str, dict[str, float]]


def probe(cfg: Config, checkpoint: str) -> Results:
    """Measure k-NN and linear accuracy of three kinds of features."""
    loaders = eval_loaders(cfg)
    model = load_model(cfg, checkpoint)
    untrained = random_init_model(cfg)
    features = {
        "pretrained": labelled_features(model, loaders),
        "random init": labelled_features(untrained, loaders),
        "raw pixels": raw_pixels(untrained, loaders),
    }
    return {
        name: {"k-NN": knn_accuracy(f), "linear probe": linear_accuracy(f)}
        for name, f in features.items()
    }


def print_table(results: Results) -> None:
    """Print accuracies in percent."""
    table = Table("features", *next(iter(results.values())), title="top-1 accuracy, %")
    for name, row in results.items():
        table.add_row(name, *(f"{100 * value:.1f}" for value in row.values()))
    Console().print(table)


def main() -> None:
    """Evaluate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="file or URL")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--work-dir", help="where mmengine's logs go")
    parser.add_argument("--launcher", default="none")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE"
    )
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if cfg.get("test_dataloader") is None:
        results = probe(cfg, args.checkpoint)
        print_table(results)
    else:
        cfg.load_from = args.checkpoint
        cfg.launcher = args.launcher
        cfg.work_dir = args.work_dir or str(Path("work_dirs", Path(args.config).stem))
        results = Runner.from_cfg(cfg).test()
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
