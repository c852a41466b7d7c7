"""Predict on images: drawn results, and predictions as files.

IMAGES is a file or a folder. Drawn results are written to OUT/vis; OUT/pred gets boxes,
masks and scores (detection) or the best classes (classification) as JSON, and label
maps (segmentation) as PNG, in which 0 is the first class. All weights must fit. Images
that cannot be read are skipped and listed at the end; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from snnssl_mm.cli.shared.config_files import load_config
from snnssl_mm.cli.shared.options import add_config_arguments, add_out_argument
from snnssl_mm.cli.shared.user_errors import errors_as_messages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument("images", type=Path, help="image or folder of images")
    add_out_argument(parser, "predictions", "folder for the results", "--out-dir")
    parser.add_argument(
        "--score-thr",
        type=float,
        default=0.3,
        help="lowest score of a drawn box (0.3); raise it if boxes of several classes "
        "lie over one object",
    )
    parser.add_argument(
        "--device", help="cpu, cuda:0, ...; by default a GPU if there is one"
    )
    parser.add_argument(
        "--fold",
        action="store_true",
        help="fold batch norms into convolutions first; equal to snnssl test up to "
        "rounding, not to the bit",
    )


def run(args: argparse.Namespace) -> None:
    """Predict."""
    import matplotlib as mpl

    from snnssl_mm.apis.inference import (
        Inferencer,
        find_images,
        require_images,
        require_own_names,
        split_readable,
    )
    from snnssl_mm.recording.progress import progress

    mpl.use("Agg")
    cfg = load_config(args)
    # Irrelevant warnings: models without weights (loaded strictly below), no output
    # folder, boxes that touch the border.
    warnings.filterwarnings("ignore", module=r"mm(engine|det|seg|pretrain)\.")
    with errors_as_messages():
        if cfg.get("test_dataloader") is not None:
            require_images(cfg)
        found = find_images(args.images)
        require_own_names(found)
        inferencer = Inferencer(
            cfg, args.checkpoint, args.out, args.score_thr, args.device, args.fold
        )
        if args.fold:
            print(f"{len(inferencer.folded)} batch norms are folded into convolutions")
        images, faults = split_readable(found)
        for image in progress(images, "predicting"):
            inferencer(image)
    print(f"{len(images)} images: pictures and predictions are in {args.out}")
    if inferencer.scores:
        drawn = sum(score >= args.score_thr for score in inferencer.scores)
        print(f"{drawn:,} boxes with a score of {args.score_thr} or more are drawn")
        if not drawn:
            highest = max(inferencer.scores)
            print(f"the highest score is {highest:.2f}; lower --score-thr to see boxes")
    if faults:
        listing = "\n  ".join(faults)
        raise SystemExit(
            f"error: {len(faults)} of {len(images) + len(faults)} images could not be "
            f"read and were skipped:\n  {listing}"
        )
