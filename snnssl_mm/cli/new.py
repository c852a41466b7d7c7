"""Write a folder of configs for your own images, sized for them and this machine.

The folder gets pretrain.py and, depending on the labels, probe.py, detect.py and
segment.py, which share one backbone, and a README.md with the commands.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from snnssl_mm.cli.shared.arguments import positive
from snnssl_mm.cli.shared.user_errors import errors_as_messages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument(
        "--labels",
        type=Path,
        help="COCO file, text file ('path,class' or a class per line), or folder of "
        "masks; by default what is found in IMAGES: class folders, a COCO file, or "
        "masks",
    )
    parser.add_argument(
        "--val-images",
        type=Path,
        help="images for validation; a fifth of IMAGES by default",
    )
    parser.add_argument("--val-labels", type=Path, help="labels for validation")
    parser.add_argument(
        "--size",
        type=positive(int),
        help="side of the pretraining crops in pixels; chosen from the images by "
        "default",
    )
    parser.add_argument(
        "--minutes",
        type=positive(float),
        default=40,
        help="time for all trainings together on this machine (40)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write; work_dirs/<name of IMAGES>_project by default",
    )
    parser.set_defaults(folder_out=True)


def run(args: argparse.Namespace) -> None:
    """Write the project."""
    from snnssl_mm.projects import new_project
    from snnssl_mm.recording.command import command_line

    name = Path(os.path.abspath(args.images)).name
    with errors_as_messages():
        new_project(
            args.images,
            args.out or Path("work_dirs", f"{name}_project"),
            args.labels,
            args.val_images,
            args.val_labels,
            args.size,
            args.minutes,
            command=command_line(),
        )
