"""Trained models by a name for the reader: ``NAME=CONFIG,CHECKPOINT``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from snnssl_mm.cli.shared.config_files import find_config, load_config

if TYPE_CHECKING:
    from mmengine.config import Config

METAVAR = "NAME=CONFIG,CHECKPOINT"


class NamedModel(NamedTuple):
    """A trained model and its name in a picture or table."""

    name: str
    config: str
    checkpoint: str


def named_model(text: str) -> NamedModel:
    """Read ``NAME=CONFIG,CHECKPOINT``; a type of command-line arguments."""
    name, _, files = text.partition("=")
    config, _, checkpoint = files.rpartition(",")
    if not (name and config and checkpoint):
        raise argparse.ArgumentTypeError(f"expected {METAVAR}, got {text}")
    return NamedModel(name, find_config(config), checkpoint)


def load_configs(models: Iterable[NamedModel]) -> list[tuple[str, Config, str]]:
    """Read the models' configs: name, config and checkpoint of each.

    Raises:
        SystemExit: If a file does not exist or a config cannot be read.
    """
    loaded = []
    for name, config, checkpoint in models:
        files = argparse.Namespace(config=config, checkpoint=checkpoint)
        files.cfg_options = None
        loaded.append((name, load_config(files), checkpoint))
    return loaded
