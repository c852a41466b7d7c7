"""User configs in another folder that inherit shipped configs."""

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


LARGE = ("16-512", "8-512", "resnet-50", "folder32", "cifar10_jpeg_gpu")
"""Parts of the names of configs whose networks make a test take 7 seconds or more."""


def small_first(files):
    """Parametrise a test over all configs; those of large networks are marked slow."""
    return [
        pytest.param(
            file,
            id=file.stem,
            marks=[pytest.mark.slow] * any(size in file.stem for size in LARGE),
        )
        for file in files
    ]
