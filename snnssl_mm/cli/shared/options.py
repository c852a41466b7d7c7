"""Arguments that several commands share, and what follows from their values."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import kind_of, positive
from snnssl_mm.cli.shared.cfg_options import KeyValues
from snnssl_mm.cli.shared.config_files import find_config, require_files


def add_config_arguments(
    parser: argparse.ArgumentParser, checkpoint: bool = False
) -> None:
    """Add ``config``, ``--cfg-options`` and, if asked for, ``checkpoint``."""
    parser.add_argument("config", help="config file")
    if checkpoint:
        parser.add_argument(
            "checkpoint",
            help="file, URL or name of the model zoo; all its weights must fit",
        )
        add_trust_argument(parser)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValues,
        metavar="KEY=VALUE",
        help="override settings of the config, such as test_dataloader.batch_size=2",
    )


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, for every command that reads a checkpoint."""
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="read checkpoints even if code in them runs on this machine then: only "
        "for files of your own or of somebody whom you trust",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``image`` and ``--max-size``, for pictures of a network at work."""
    parser.add_argument("image", help="image file")
    parser.add_argument(
        "--max-size",
        type=positive(int),
        default=640,
        help="longer sides are reduced to it (640)",
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and the rank that torch.distributed.launch passes."""
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how this process was started",
    )
    # torchrun passes it by the environment.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def add_out_argument(
    parser: argparse.ArgumentParser,
    default: str,
    what: str,
    alias: str | None = None,
) -> None:
    """Add ``--out``, whose default :func:`run_folder` completes.

    Args:
        parser: Gets it.
        default: Name below the run's folder.
        what: The file or folder, for the help.
        alias: Its former name, which is not in the help.
    """
    text = f"{what}; work_dirs/<run>/{default} by default"
    parser.add_argument("--out", type=kind_of(default), help=text)
    if alias:
        hidden = dict(dest="out", type=Path, default=argparse.SUPPRESS)
        parser.add_argument(alias, help=argparse.SUPPRESS, **hidden)  # type: ignore
    parser.set_defaults(default_out=default, folder_out=not Path(default).suffix)


def run_folder(checkpoint: str | Path | None, config: str | Path | None) -> Path:
    """Folder below ``work_dirs`` for what a command writes without being told where.

    It has the name of the run that a checkpoint is from, if that lies below a folder
    ``work_dirs``, and the config's name otherwise.

    Example:
        >>> str(run_folder("/data/work_dirs/demo/seed0/epoch_9.pth", "configs/a.py"))
        'work_dirs/demo/seed0'
        >>> str(run_folder("/data/epoch_9.pth", "configs/a.py"))
        'work_dirs/a'
    """
    parts = Path(checkpoint or "").parent.parts
    if "work_dirs" in parts[:-1]:
        place = len(parts) - parts[::-1].index("work_dirs")
        if parts[place:]:
            return Path("work_dirs", *parts[place:])
    return Path("work_dirs", Path(config or checkpoint or "").stem)


def complete(args: argparse.Namespace) -> argparse.Namespace:
    """Complete what was read from a command line, and refuse what cannot be used.

    A leading ``~`` becomes the user's folder, also where the shell leaves it
    (``--out=~/a.json``); ``config`` becomes a file; ``out`` is set, also where it was
    not given.

    Raises:
        SystemExit: If a config or checkpoint does not exist.
        OSError: If ``out`` cannot be written.
    """
    for name, value in vars(args).items():
        if isinstance(value, (str, Path)) and str(value).startswith("~"):
            setattr(args, name, type(value)(os.path.expanduser(value)))
    if getattr(args, "config", None):
        args.config = find_config(args.config)
    require_files(args)
    folder = vars(args).pop("folder_out", False)
    if (default := vars(args).pop("default_out", None)) and args.out is None:
        checkpoint, config = (vars(args).get(key) for key in ("checkpoint", "config"))
        args.out = run_folder(checkpoint, config) / default
    if isinstance(getattr(args, "out", None), Path):
        require_writable(args.out, folder=folder)
    if getattr(args, "trust_checkpoint", False):
        from snnssl_mm.checkpoints import reading

        reading.trust_checkpoints()
    return args
