"""Configs of a user, which inherit a shipped one from a folder of their own."""

from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "configs"


def inheriting(file, folder):
    """Write a config that inherits ``file`` through the package, if it is shipped."""
    if CONFIGS not in file.parents:
        return file
    own = folder / f"own_{file.name}"
    own.write_text(f"_base_ = 'snnssl_mm::{file.relative_to(CONFIGS).as_posix()}'\n")
    return own
