"""What the command-line tools share: their arguments, and errors as sentences."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, DictAction

import snnssl_mm  # noqa: F401  (makes mmseg:: and snnssl_mm:: bases work)


def add_config_arguments(
    parser: argparse.ArgumentParser, checkpoint: bool = False
) -> None:
    """Add ``config``, ``--cfg-options`` and, if asked for, ``checkpoint``."""
    parser.add_argument("config", help="config file")
    if checkpoint:
        parser.add_argument("checkpoint", help="file or URL; all its weights must fit")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override settings of the config, such as test_dataloader.batch_size=2",
    )


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply ``--cfg-options`` to it.

    Raises:
        SystemExit: If the config or the checkpoint that ``args`` names is no file.
    """
    for what in (args.config, getattr(args, "checkpoint", None)):
        if what and "://" not in str(what) and not Path(what).is_file():
            raise SystemExit(f"error: {what} does not exist; check the path")
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    return cfg


@contextlib.contextmanager
def errors_as_sentences() -> Iterator[None]:
    """End the program with the message of a bad input's error, without a traceback.

    Wrap what reads the user's files in it, nothing else: an error of the program
    itself needs its traceback.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
