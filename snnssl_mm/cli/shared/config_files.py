"""Find and read config files; describe errors in them."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnssl_mm.cli.shared.user_errors import user_message

if TYPE_CHECKING:
    from mmengine.config import Config

PACKAGE = Path(__file__).resolve().parents[2]
SCOPE = "snnssl_mm::"
READER = os.path.join("mmengine", "config", "config.py")
READING = ("fromfile", "_file2dict", "_is_lazy_import")
"""Functions of mmengine whose ``filename`` is the file being read."""
CHECKPOINTS = ("checkpoint", "pretrained", "resume")
"""Arguments with a checkpoint; all but ``resume`` may be a model of the zoo."""

SECTIONS = (
    *("model", "default_hooks", "env_cfg", "optim_wrapper", "randomness"),
    *(f"{what}_dataloader" for what in ("train", "val", "test")),
    *("eval_train_dataloader", "eval_test_dataloader"),
)
"""Keys of a config whose value is a dict or None."""


def find_config(path: str) -> str:
    """Find a config: at the path, or else among the configs of the package.

    ``snnssl_mm::selfsup/a.py`` and ``configs/selfsup/a.py`` name a config of the
    package from any folder.
    """
    inside = re.sub(f"^{SCOPE}", "configs/", path)
    if inside.startswith("configs/") and not Path(path).exists():
        for folder in (PACKAGE / ".mim", PACKAGE.parent):
            if (folder / inside).is_file():
                return str(folder / inside)
    return path


def read_config(file: str | Path) -> Config:
    """Read a config file with its base configs.

    Raises:
        SystemExit: If it cannot be read; names the file and the line.
    """
    from mmengine.config import Config

    with config_errors(str(file)):
        return Config.fromfile(file)


@contextlib.contextmanager
def config_errors(where: str) -> Iterator[None]:
    """Turn any error in a config into a message, since its text is the user's.

    Args:
        where: The file or option being read.
    """
    try:
        yield
    except Exception as error:
        raise SystemExit(f"error: {config_error_message(error, where)}") from None


def config_error_message(error: Exception, where: str) -> str:
    """Describe an error in a config, with its file among the base configs."""
    files, line = [where], getattr(error, "lineno", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename.endswith(READER) and code.co_name in READING:
            file = str(frame.f_locals["filename"])
            if not same(file, files[-1]):
                files.append(file)
        elif same(code.co_filename, files[-1]):  # mmengine compiles it with this name
            line = number
    if isinstance(error, RecursionError):
        by = [file for file in dict.fromkeys(files) if not same(file, where)]
        way = f" by way of {', '.join(by)}" if by else ""
        return f"{where} inherits from itself{way}; correct _base_"
    if isinstance(error, FileNotFoundError):
        by_whom = files[-2] if len(files) > 1 else where
        return f"{user_message(error)}; {by_whom} inherits from it"
    if isinstance(error, OSError):
        return f"{files[-1]}: {user_message(error)}"
    what = error.args[0] if isinstance(error, KeyError) and error.args else error
    place = f", line {line}" if line else ""
    return f"{files[-1]}{place}: {type(error).__name__}: {what}"


def same(one: str, other: str) -> bool:
    """Whether two paths name the same file."""
    return os.path.abspath(one) == os.path.abspath(other)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply ``--cfg-options`` to it.

    Raises:
        SystemExit: If the config or a checkpoint in ``args`` is no file, or if the
            config cannot be read.
    """
    require_named_files(args)
    cfg = read_config(args.config)
    require_sections(cfg, args.config)
    if args.cfg_options:
        backbone = (cfg.get("model") or {}).get("backbone") or {}
        if backbone.get("init_cfg", "") is None:  # a dict cannot be merged into None
            del backbone["init_cfg"]
        require_known_options(args.cfg_options, cfg)
        with config_errors("--cfg-options"):
            cfg.merge_from_dict(args.cfg_options)
        require_sections(cfg, "--cfg-options")
    return cfg


def require_known_options(options: dict[str, Any], cfg: Config) -> None:
    """Refuse options whose key is a misspelt key of the config.

    Raises:
        SystemExit: Names both keys.
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


def require_named_files(args: argparse.Namespace) -> None:
    """Require that config and checkpoints exist, before anything is imported.

    Raises:
        SystemExit: Names the missing file.
    """
    for name in ("config", *CHECKPOINTS):
        what = getattr(args, name, None)
        if what is None or what == "auto" or "://" in str(what) or is_there(what):
            continue
        if Path(what).is_dir():
            expected = "a config" if name == "config" else "a checkpoint"
            raise SystemExit(f"error: {what} is a folder; expected {expected} file")
        if name == "config":
            raise SystemExit(f"error: {what} does not exist; check the path")
        from snnssl_mm.checkpoints import zoo

        if name == "resume" or not zoo.is_name(str(what)):
            raise SystemExit(f"error: {zoo.does_not_exist(str(what))}")


def require_sections(cfg: Config, file: str) -> None:
    """Require that the sections of a config are dicts or None.

    Raises:
        SystemExit: Names the section.
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
    """Whether a file exists; True if its folder may not be read."""
    try:
        return Path(path).expanduser().is_file()
    except OSError:
        return True
