"""What the command-line tools share: their arguments, configs and outputs.

A tool reads its arguments first and imports afterwards, inside the functions that need
it: ``--help`` answers at once. Nothing is imported here either that is slow.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.cli.arguments import kind_of, positive, require_place
from snnssl_mm.cli.cfg_options import KeyValues
from snnssl_mm.cli.config_files import config_errors, find_config, read_config
from snnssl_mm.cli.user_errors import errors_as_sentences, run_tool
from snnssl_mm.recording.command import PROGRAM, command_line

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ["command_line", "errors_as_sentences", "read_config", "run_tool"]

CHECKPOINTS = ("checkpoint", "pretrained", "resume")
"""Arguments that name a checkpoint; all but ``resume`` may be a name of the zoo."""

SECTIONS = (
    *("model", "default_hooks", "env_cfg", "optim_wrapper", "randomness"),
    *(f"{what}_dataloader" for what in ("train", "val", "test")),
    *("eval_train_dataloader", "eval_test_dataloader"),
)
"""Places of a config that hold a dict, or nothing."""


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


class TrustCheckpoint(argparse.Action):
    """``--trust-checkpoint``: from here on, checkpoints may run code."""

    def __call__(self, parser: Any, namespace: Any, *_: Any) -> None:
        """Remember it, and tell what reads checkpoints."""
        from snnssl_mm.checkpoints import reading

        setattr(namespace, self.dest, True)
        reading.trust_checkpoints()


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


def require_writable(*files: Path | None, option: str = "--out") -> None:
    """Make the folders of output files; refuse what cannot be written, before work.

    Args:
        *files: The files; None stands for an output that nobody asked for.
        option: What the user chooses their place by.

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
                f"cannot write {file}: {error.strerror}; choose another by {option}"
            ) from None


def require_local(checkpoint: str) -> None:
    """Refuse a checkpoint that is not on this machine.

    Raises:
        ValueError: It names the address.
    """
    if "://" in checkpoint and not checkpoint.startswith("snnssl_mm://"):
        raise ValueError(
            f"{checkpoint} is an address; expected a file, whose digest goes into the "
            "results: download it first"
        )


def provenance(args: argparse.Namespace, cfg: Config) -> dict[str, Any]:
    """Where a row of a results file is from: config, checkpoint, seed, command.

    Raises:
        ValueError: If the checkpoint is not on this machine.
    """
    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.recording.results_file import file_sha

    require_local(args.checkpoint)
    return {
        "config": args.config,
        "checkpoint": args.checkpoint,
        "sha256": file_sha(zoo.resolve(args.checkpoint)),
        "seed": cfg.get("randomness", {}).get("seed") or 0,
        "command": command_line(),
    }


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply ``--cfg-options`` to it.

    Raises:
        SystemExit: If the config or a checkpoint that ``args`` names is no file, or if
            the config cannot be read.
    """
    require_files(args)
    cfg = read_config(args.config)
    require_sections(cfg, args.config)
    if args.cfg_options:
        backbone = (cfg.get("model") or {}).get("backbone") or {}
        if backbone.get("init_cfg", "") is None:  # a dict cannot be merged into None
            del backbone["init_cfg"]
        require_known(args.cfg_options, cfg)
        with config_errors("--cfg-options"):
            cfg.merge_from_dict(args.cfg_options)
        require_sections(cfg, "--cfg-options")
    return cfg


def require_known(options: dict[str, Any], cfg: Config) -> None:
    """Refuse options for a section that the config has under another name.

    Raises:
        SystemExit: It names both.
    """
    for option in options:
        key = option.partition(".")[0]
        if key in cfg:
            continue
        from snnssl_mm.checks.config.keys import misspelt

        like = misspelt(key, cfg)
        if like not in (None, key):
            raise SystemExit(
                f"error: --cfg-options {option}: the config has no {key}; is {like} "
                "meant?"
            )


def require_files(args: argparse.Namespace) -> None:
    """Refuse a config or checkpoint that does not exist, before anything is imported.

    Raises:
        SystemExit: Names it.
    """
    for name in ("config", *CHECKPOINTS):
        what = getattr(args, name, None)
        if what is None or what == "auto" or "://" in str(what) or is_there(what):
            continue
        if Path(what).is_dir():
            expected = "a config" if name == "config" else "a checkpoint"
            raise SystemExit(f"error: {what} is a folder; name {expected}'s file")
        if name == "config":
            if Path(what).is_dir():
                raise SystemExit(f"error: {what} is a folder; name a config in it")
            raise SystemExit(f"error: {what} does not exist; check the path")
        from snnssl_mm.checkpoints import zoo

        if name == "resume" or what not in zoo.entries():
            raise SystemExit(f"error: {zoo.does_not_exist(str(what))}")


def require_sections(cfg: Config, file: str) -> None:
    """Refuse a config in which something else stands where settings are expected.

    Raises:
        SystemExit: Names the place.
    """
    model = cfg.get("model")
    places = {name: cfg.get(name) for name in SECTIONS}
    places["model.backbone"] = (
        model.get("backbone") if isinstance(model, dict) else None
    )
    for place, found in places.items():
        if found is not None and not isinstance(found, dict):
            raise SystemExit(
                f"error: {file}: {place} is {found!r}; expected settings: dict(...)"
            )


def is_there(path: str) -> bool:
    """Whether a file exists; one that may not be read is there."""
    try:
        return Path(path).expanduser().is_file()
    except OSError:
        return True


def run_folder(checkpoint: str | Path | None, config: str | Path | None) -> Path:
    """Folder below ``work_dirs`` for what a tool writes without being told where.

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


def add_out_argument(
    parser: argparse.ArgumentParser,
    default: str,
    what: str,
    alias: str | None = None,
) -> None:
    """Add ``--out``, whose default :func:`default_out` makes.

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


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; ``out`` is set, also where it was not given.

    A leading ``~`` is the user's folder, also where the shell leaves it
    (``--out=~/a.json``).

    Raises:
        SystemExit: If a config or checkpoint that it names does not exist.
        OSError: If ``out`` cannot be written.
    """
    if PROGRAM:
        parser.prog = " ".join(PROGRAM)
    args = parser.parse_args()
    folder = vars(args).pop("folder_out", False)
    for name, value in vars(args).items():
        if isinstance(value, (str, Path)) and str(value).startswith("~"):
            setattr(args, name, type(value)(os.path.expanduser(value)))
    if getattr(args, "config", None):
        args.config = find_config(args.config)
    require_files(args)
    if (default := vars(args).pop("default_out", None)) and args.out is None:
        checkpoint, config = (vars(args).get(key) for key in ("checkpoint", "config"))
        args.out = run_folder(checkpoint, config) / default
    if isinstance(getattr(args, "out", None), Path):
        require_place(args.out, folder)
    return args


def one_of(table: str, *more: str) -> Callable[[str], str]:
    """Return a reader of names for argparse that imports their table when it is used.

    Args:
        table: ``'module:TABLE'``.
        *more: Names beside those in the table.
    """

    def name(text: str) -> str:
        names = [*more, *pkgutil.resolve_name(table)]
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"expected one of {', '.join(names)}, got {text!r}"
            )
        return text

    return name


def build_runner(cfg: Config, args: argparse.Namespace) -> Any:
    """Build the config's runner for the launcher that ``args`` names."""
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    from snnssl_mm import compat
    from snnssl_mm.engine import strategies
    from snnssl_mm.engine.screen import quiet

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg.launcher = args.launcher
    if args.launcher == "pytorch" and compat.init_cpu_process_group():
        cfg.model_wrapper_cfg = compat.cpu_model_wrapper_cfg()
    if "runner_type" not in cfg:
        with quiet():
            return Runner.from_cfg(cfg)
    strategies.fit_strategy(cfg)
    with quiet():
        runner = RUNNERS.build(cfg)
        strategies.build_model(runner, cfg)
    return runner
