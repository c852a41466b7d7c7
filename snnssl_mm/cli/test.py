"""Evaluate a checkpoint: probes for pretraining, the dataset's metric otherwise.

A pretrained model is evaluated by k-NN and a linear probe on its frozen, fully spiking
features, compared with a random network and raw pixels. For a config with a
test_dataloader (classification, detection, segmentation) mmengine's Runner.test is run.
All weights of the checkpoint must fit the config's model.
"""

from __future__ import annotations

import argparse
import json
import math
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.cli.shared.arguments import results_file
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments, add_launcher_arguments
from snnssl_mm.cli.shared.user_errors import errors_as_messages

if TYPE_CHECKING:
    from mmengine.config import Config


Probes = dict[str, dict[str, float]]
Metrics = dict[str, float | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of labelled images for a pretrained model, "
        "{train,test}/<class>/*, to use instead of the config's",
    )
    parser.add_argument(
        "--out", type=results_file, help="JSON file for the results; none by default"
    )
    parser.add_argument(
        "--work-dir", help="folder for logs; work_dirs/<config's name> by default"
    )
    add_launcher_arguments(parser)


def probe(cfg: Config, checkpoint: str) -> Probes:
    """Measure k-NN and linear accuracy of three kinds of features."""
    from snnssl_mm.probing import (
        eval_loaders,
        knn_accuracy,
        labelled_features,
        linear_accuracy,
        load_trained_model,
        random_init_model,
        raw_pixels,
    )

    with errors_as_messages():
        loaders = eval_loaders(cfg)
        model = load_trained_model(cfg, checkpoint)
    untrained = random_init_model(cfg)
    features = {
        "pretrained": labelled_features(model, loaders),
        "random": labelled_features(untrained, loaders),
        "pixels": raw_pixels(untrained, loaders),
    }
    return {
        name: {"knn": knn_accuracy(f), "linear": linear_accuracy(f)}
        for name, f in features.items()
    }


def run_test_loop(cfg: Config, args: argparse.Namespace) -> Metrics:
    """Run the config's test loop; return its metrics, None for NaN and infinity.

    Weights are loaded strictly, while mmengine skips those that do not fit.
    """
    from snnssl_mm.checkpoints.loading import load_full_model
    from snnssl_mm.checkpoints.read_once import files_kept
    from snnssl_mm.checks.data import check_data
    from snnssl_mm.engine.hooks.data_check_hook import DataCheckHook
    from snnssl_mm.engine.launch import build_runner
    from snnssl_mm.probing.probe_models import warn_of_other_pixels

    cfg.load_from, cfg.resume = None, False
    with errors_as_messages():
        check_data(cfg, ["test_dataloader"])
    runner: Any = build_runner(cfg, args.launcher, args.local_rank)
    runner.register_hook(DataCheckHook(files=False))
    with errors_as_messages(), files_kept():
        load_full_model(runner.model, args.checkpoint)
        warn_of_other_pixels(cfg, args.checkpoint)
    metrics = runner.test()
    return {
        name: float(value) if math.isfinite(value) else None
        for name, value in metrics.items()
        if isinstance(value, Real)
    }


def print_probes(results: Probes) -> None:
    """Print accuracies in percent."""
    from snnssl_mm.recording.probe_names import probe_title
    from snnssl_mm.recording.table import Table

    rows = [
        [probe_title(name), *(f"{100 * value:.1f}" for value in row.values())]
        for name, row in results.items()
    ]
    heads = ["features", *map(probe_title, next(iter(results.values())))]
    Table(heads, rows, "top-1 accuracy, %").print()


def print_metrics(metrics: Metrics, caption: str) -> None:
    """Print metrics in the units of the dataset's evaluator."""
    from snnssl_mm.recording.table import Table

    rows = [
        [name, "none" if value is None else f"{value:.4g}"]
        for name, value in metrics.items()
    ]
    Table(["metric", "value"], rows, caption).print()


def run(args: argparse.Namespace) -> None:
    """Evaluate."""
    from mmengine.dist import is_main_process

    from snnssl_mm.probing.labelled_folder import with_labelled_folder

    cfg = load_config(args)
    results: Any
    if args.data:
        with errors_as_messages():
            cfg = with_labelled_folder(cfg, args.data)
    if cfg.get("test_dataloader") is None:
        results = probe(cfg, args.checkpoint)
        print_probes(results)
    else:
        name = Path(args.config).stem
        cfg.work_dir = args.work_dir or str(Path("work_dirs", name))
        results = run_test_loop(cfg, args)
        if not is_main_process():
            return
        print_metrics(results, f"{name}, {Path(args.checkpoint).name}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")
