"""Arguments that several commands share, and their completion."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.cli.shared.arguments import one_of, output_type, picture, positive
from snnssl_mm.cli.shared.cfg_options import KeyValues
from snnssl_mm.cli.shared.config_files import find_config, require_named_files
from snnssl_mm.recording.probe_names import FROZEN


def add_config_arguments(
    parser: argparse.ArgumentParser, checkpoint: bool = False
) -> None:
    """Add ``config``, ``--cfg-options`` and optionally ``checkpoint``."""
    parser.add_argument("config", help="config file")
    if checkpoint:
        parser.add_argument(
            "checkpoint",
            help="file, URL or model of the zoo; all its weights must fit",
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
        help="read checkpoints even if they execute code on this machine: only for "
        "your own files, or from a source that you trust",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``image`` and ``--max-size``, for pictures of a network's activity."""
    parser.add_argument("image", help="image file")
    parser.add_argument(
        "--max-size",
        type=positive(int),
        default=640,
        help="maximum side of the image, which is resized to it (640)",
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and the rank that ``torch.distributed.launch`` passes."""
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how this process was started",
    )
    # torchrun passes it in the environment.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def add_measuring_arguments(
    parser: argparse.ArgumentParser, images: int, use: str, results: str
) -> None:
    """Add what every measurement of a checkpoint on images takes.

    Args:
        parser: Gets the arguments.
        images: Default of ``--images``.
        use: Help of ``--images``.
        results: Default name of the results file.
    """
    add_config_arguments(parser, checkpoint=True)
    parser.add_argument(
        "--images", type=positive(int), default=images, help=f"{use} ({images})"
    )
    add_out_argument(parser, results, "JSON file to append to")
    parser.add_argument("--plot", type=picture, help="picture to draw")


def add_probes_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--probes``; ``text`` is its help."""
    parser.add_argument(
        "--probes",
        nargs="+",
        type=one_of("snnssl_mm.probing.protocols:PROTOCOLS", *FROZEN),
        default=list(FROZEN),
        help=f"{text}; knn and linear by default",
    )


def add_out_argument(
    parser: argparse.ArgumentParser,
    default: str,
    what: str,
    alias: str | None = None,
) -> None:
    """Add ``--out``, whose default :func:`run_folder` completes.

    Args:
        parser: Parser of the subcommand.
        default: Default name below the run's folder.
        what: Description of the file or folder for the help.
        alias: Former name of the option, hidden in the help.
    """
    text = f"{what}; work_dirs/<run>/{default} by default"
    parser.add_argument("--out", type=output_type(default), help=text)
    if alias:
        hidden = dict(dest="out", type=Path, default=argparse.SUPPRESS)
        parser.add_argument(alias, help=argparse.SUPPRESS, **hidden)  # type: ignore
    parser.set_defaults(default_out=default, folder_out=not Path(default).suffix)


def run_folder(checkpoint: str | Path | None, config: str | Path | None) -> Path:
    """Return the default output folder of a command, below ``work_dirs``.

    Its name is that of the checkpoint's run, if the checkpoint is below a folder
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
    """Complete parsed arguments, and refuse missing or unwritable files.

    A leading ``~`` is expanded, also where the shell does not (``--out=~/a.json``);
    ``config`` becomes a file; ``out`` gets its default.

    Raises:
        SystemExit: If a config or checkpoint does not exist.
        OSError: If ``out`` cannot be written.
    """
    for name, value in vars(args).items():
        if isinstance(value, (str, Path)) and str(value).startswith("~"):
            setattr(args, name, type(value)(os.path.expanduser(value)))
    if getattr(args, "config", None):
        args.config = find_config(args.config)
    require_named_files(args)
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
