"""User configs in another folder that inherit shipped configs."""

import re
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[1] / "configs"


def inheriting(file, folder):
    """Write a config that inherits ``file`` through the package, if it is shipped."""
    if CONFIGS not in file.parents:
        return file
    own = folder / f"own_{file.name}"
    own.write_text(f"_base_ = 'snnssl_mm::{file.relative_to(CONFIGS).as_posix()}'\n")
    return own


LARGE = ("6-512", "8-512", "10-512", "-768", "55m", "19m", "10m", "resnet-50")
LARGE += ("folder32", "cifar10_jpeg_gpu")
"""Parts of the names of configs whose networks make a test take 7 seconds or more."""
TASKS = {
    "spike-driven-transformer": "mask-rcnn",
    "maxformer": "retinanet",
    "meta-spikeformer": "semantic-fpn",
    "e-spikeformer": "upernet",
    "spikingformer": "mask-rcnn",
}
"""Families that share the configs of Spikformer, and for which task each is trained."""


def is_slow(file):
    """Whether a config is large, or of a family that another config represents."""
    if any(size in file.stem for size in LARGE):
        return True
    tasks = [task for family, task in TASKS.items() if family in file.stem]
    on_many_images = re.search("_(coco|ade20k|ctl_in1k)", file.stem)
    return bool(tasks and on_many_images and not file.stem.startswith(tasks[0]))


def small_first(files):
    """Parametrise a test over all configs; the slow ones are marked so."""
    return [
        pytest.param(
            file, id=file.stem, marks=[pytest.mark.slow] if is_slow(file) else []
        )
        for file in files
    ]
