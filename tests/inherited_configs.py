"""Configs of a user, which inherit a shipped one from a folder of their own."""

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
"""What is in the names of configs whose networks take a test 7 seconds and more."""


def small_first(files):
    """Parameters for a test of every config: those of large networks are slow."""
    return [
        pytest.param(
            file,
            id=file.stem,
            marks=[pytest.mark.slow] * any(size in file.stem for size in LARGE),
        )
        for file in files
    ]
