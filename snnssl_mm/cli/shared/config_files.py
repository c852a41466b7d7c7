"""Find and read config files; say what is wrong with one that cannot be read."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.cli.shared.user_errors import sentence

if TYPE_CHECKING:
    from mmengine.config import Config

PACKAGE = Path(__file__).resolve().parents[2]
SCOPE = "snnssl_mm::"
READER = os.path.join("mmengine", "config", "config.py")
READING = ("fromfile", "_file2dict", "_is_lazy_import")
"""Functions of mmengine whose ``filename`` is the file that is being read."""
CHECKPOINTS = ("checkpoint", "pretrained", "resume")
"""Arguments that name a checkpoint; all but ``resume`` may be a name of the zoo."""

SECTIONS = (
    *("model", "default_hooks", "env_cfg", "optim_wrapper", "randomness"),
    *(f"{what}_dataloader" for what in ("train", "val", "test")),
    *("eval_train_dataloader", "eval_test_dataloader"),
)
"""Places of a config that hold a dict, or nothing."""


def find_config(path: str) -> str:
    """Return where a config is: at the path, or else among those of the package.

    From any folder, ``snnssl_mm::selfsup/a.py`` and ``configs/selfsup/a.py`` name
    one of them.
    """
    inside = re.sub(f"^{SCOPE}", "configs/", path)
    if inside.startswith("configs/") and not Path(path).exists():
        for folder in (PACKAGE / ".mim", PACKAGE.parent):
            if (folder / inside).is_file():
                return str(folder / inside)
    return path


def read_config(file: str | Path) -> Config:
    """Read a config file with what it inherits.

    Raises:
        SystemExit: If it cannot be read; names the file and the line.
    """
    from mmengine.config import Config

    with config_errors(str(file)):
        return Config.fromfile(file)


@contextlib.contextmanager
def config_errors(where: str) -> Iterator[None]:
    """Turn whatever a config raises into a sentence: its text is the user's.

    Args:
        where: What is being read.
    """
    try:
        yield
    except Exception as error:
        raise SystemExit(f"error: {described(error, where)}") from None


def described(error: Exception, where: str) -> str:
    """Say what is wrong with a config, and in which of the files that it inherits."""
    files, line = [where], getattr(error, "lineno", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename.endswith(READER) and code.co_name in READING:
            file = str(frame.f_locals["filename"])
            if not same(file, files[-1]):
                files.append(file)
        elif same(code.co_filename, files[-1]):  # mmengine compiles it by this name
            line = number
    if isinstance(error, RecursionError):
        by = [file for file in dict.fromkeys(files) if not same(file, where)]
        way = f" by way of {', '.join(by)}" if by else ""
        return f"{where}: what it inherits leads in a circle{way}; mend a _base_"
    if isinstance(error, FileNotFoundError):
        by_whom = files[-2] if len(files) > 1 else where
        return f"{sentence(error)}; {by_whom} inherits from it"
    if isinstance(error, OSError):
        return f"{files[-1]}: {sentence(error)}"
    what = error.args[0] if isinstance(error, KeyError) and error.args else error
    place = f", line {line}" if line else ""
    return f"{files[-1]}{place}: {type(error).__name__}: {what}"


def same(one: str, other: str) -> bool:
    """Whether two paths are the same file's, written in different ways."""
    return os.path.abspath(one) == os.path.abspath(other)


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
