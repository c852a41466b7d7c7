"""What the command-line tools share: their arguments, and errors as sentences."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from snnssl_mm import compat, unpickling, zoo  # compat: mmseg:: bases work
from snnssl_mm.analysis.results_file import file_sha

CHECKPOINTS = ("checkpoint", "pretrained", "resume")
"""Arguments that name a checkpoint; all but ``resume`` may be a name of the zoo."""


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
        action=DictAction,
        metavar="KEY=VALUE",
        help="override settings of the config, such as test_dataloader.batch_size=2",
    )


class TrustCheckpoint(argparse.Action):
    """``--trust-checkpoint``: from here on, checkpoints may run code."""

    def __call__(self, parser: Any, namespace: Any, *_: Any) -> None:
        """Remember it, and tell what reads checkpoints."""
        setattr(namespace, self.dest, True)
        unpickling.trust_checkpoints()


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, for every tool that reads a checkpoint."""
    parser.add_argument(
        "--trust-checkpoint",
        action=TrustCheckpoint,
        nargs=0,
        default=False,
        help="read checkpoints even if code in them runs on this machine then: only "
        "for files of your own or of somebody whom you trust",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``image`` and ``--max-size``, for pictures of a network at work."""
    parser.add_argument("image", help="image file")
    parser.add_argument(
        "--max-size", type=int, default=640, help="longer sides are reduced to it (640)"
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


def require_writable(*files: Path | None) -> None:
    """Make the folders of output files; refuse what cannot be written, before work.

    Args:
        *files: The files; None stands for an output that nobody asked for.

    Raises:
        OSError: If a file cannot be written there.
    """
    for file in (file for file in files if file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            with tempfile.TemporaryFile(dir=file.parent):
                pass
        except OSError as error:
            raise OSError(
                f"cannot write {file}: {error.strerror}; choose another output file"
            ) from None


def command_line() -> str:
    """The command that runs now, to be pasted; results files record it."""
    tool, *arguments = sys.argv
    return shlex.join(["python", os.path.relpath(tool), *arguments])


def provenance(args: argparse.Namespace, cfg: Config) -> dict[str, Any]:
    """Where a row of a results file is from: config, checkpoint, seed, command."""
    return {
        "config": args.config,
        "checkpoint": args.checkpoint,
        "sha256": file_sha(zoo.resolve(args.checkpoint)),
        "seed": cfg.get("randomness", {}).get("seed") or 0,
        "command": command_line(),
    }


def build_runner(cfg: Config, args: argparse.Namespace) -> Any:
    """Build the config's runner for the launcher that ``args`` names."""
    from mmengine.registry import RUNNERS  # slow; tools/print_config.py does without
    from mmengine.runner import Runner

    from snnssl_mm import strategies

    compat.apply()  # once more: one workaround waits for mmengine.runner
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg.launcher = args.launcher
    if args.launcher == "pytorch" and compat.init_cpu_process_group():
        cfg.model_wrapper_cfg = compat.cpu_model_wrapper_cfg()
    if "runner_type" not in cfg:
        return Runner.from_cfg(cfg)
    strategies.fit_strategy(cfg)
    runner = RUNNERS.build(cfg)
    strategies.build_model(runner, cfg)
    return runner


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply ``--cfg-options`` to it.

    Raises:
        SystemExit: If the config or a checkpoint that ``args`` names is no file.
    """
    named = {name: getattr(args, name, None) for name in CHECKPOINTS}
    for name, what in {"config": args.config, **named}.items():
        if (
            what
            and what != "auto"
            and "://" not in str(what)
            and not (name in ("checkpoint", "pretrained") and what in zoo.entries())
            and not Path(what).is_file()
        ):
            raise SystemExit(f"error: {zoo.does_not_exist(str(what))}")
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        backbone = (cfg.get("model") or {}).get("backbone") or {}
        if backbone.get("init_cfg", "") is None:  # a dict cannot be merged into None
            del backbone["init_cfg"]
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
