"""Evaluate a pretrained backbone on labelled images: one table, one results file.

CONFIG is the pretraining's; the labelled images are those of its eval_train_dataloader
and eval_test_dataloader, or those of the folder --data. The probes:

    knn               weighted k-NN on frozen features
    linear            logistic regression on frozen features
    linear-augmented  linear classifier on the frozen backbone, augmented images, SGD
    semi-1pct         fine-tuning on 1 % of the labels of each class
    semi-10pct        fine-tuning on 10 % of them
    finetune          fine-tuning on all of them

Rows already present in the results file are skipped; run the same command again to
continue an interrupted probe.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import positive, seed_number
from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import (
    add_config_arguments,
    add_out_argument,
    add_probes_argument,
)
from snnssl_mm.cli.shared.user_errors import errors_as_messages
from snnssl_mm.recording.probe_names import STARTS

RESUME_OPTION = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser, checkpoint=True)
    add_probes_argument(parser, "names of the probes above")
    parser.add_argument(
        "--start",
        nargs="+",
        choices=list(STARTS),
        default=["pretrained"],
        help="the checkpoint's backbone, or for comparison a backbone with random "
        "weights, or raw pixels (frozen probes only)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with {train,test}/<class>/* to use instead of the config's "
        "images, or with images in train and test and a class per line in train.txt "
        "and test.txt",
    )
    parser.add_argument(
        "--k",
        type=positive(int),
        nargs="+",
        default=[20],
        help="numbers of neighbours of the k-NN probe (20)",
    )
    parser.add_argument(
        "--temperature",
        type=positive(float),
        nargs="+",
        default=[0.07],
        help="temperatures of the k-NN probe (0.07)",
    )
    parser.add_argument(
        "--seed", type=seed_number, help="seed to use instead of the config's"
    )
    parser.add_argument(
        "--no-recalibrate",
        action="store_true",
        help="keep the BatchNorm statistics, which average over spiking and analog "
        "path, instead of re-estimating them on the spiking path",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder for features and trained probes; 'features' next to --out by "
        "default",
    )
    add_out_argument(parser, "probe_results.json", "JSON file to append to")


def run(args: argparse.Namespace) -> None:
    """Compute the missing rows and print the table."""
    from snnssl_mm.probing.labelled_folder import with_labelled_folder
    from snnssl_mm.probing.plan import KEY, Request, console, fill, plan
    from snnssl_mm.probing.probe_table import probe_table
    from snnssl_mm.recording.provenance import provenance, require_local
    from snnssl_mm.recording.results_file import ResultsFile

    cache = args.cache or args.out.parent / "features"
    with errors_as_messages():
        cfg = load_config(args)
        require_local(args.checkpoint)
        if args.seed is not None:
            cfg.randomness = dict(cfg.get("randomness") or {}, seed=args.seed)
        if args.data:
            cfg = with_labelled_folder(cfg, args.data)
        require_writable(args.out, cache / "features.npz")
        results = ResultsFile(args.out, "probes", KEY)
        request = Request(
            checkpoint=args.checkpoint,
            probes=args.probes,
            starts=args.start,
            k=args.k,
            temperature=args.temperature,
            recalibrate=not args.no_recalibrate,
            cache=cache,
            data=str(args.data) if args.data else None,
        )
        about = {
            **provenance(args.config, args.checkpoint, cfg),
            "options": args.cfg_options or {},
        }
        tasks = plan(cfg, request, about)
    rows = [fill(results, task) for task in tasks]
    probe_table(rows).print()
    console.print(f"rows: {args.out}", soft_wrap=True, highlight=False)
