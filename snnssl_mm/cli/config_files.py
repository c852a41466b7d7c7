"""Config files: where they are, and what is wrong with one that cannot be read."""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from snnssl_mm.cli.user_errors import sentence

if TYPE_CHECKING:
    from mmengine.config import Config

PACKAGE = Path(__file__).resolve().parents[1]
SCOPE = "snnssl_mm::"
READER = os.path.join("mmengine", "config", "config.py")
READING = ("fromfile", "_file2dict", "_is_lazy_import")
"""Functions of mmengine whose ``filename`` is the file that is being read."""


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
