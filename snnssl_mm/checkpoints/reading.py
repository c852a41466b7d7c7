"""Safe reading of ``torch.save`` files: no code runs, damage is detected.

A pickle may name any function and have it called while it is read. Tensors, plain
values, containers of them (such as the ``argparse.Namespace`` of a training script) and
what mmengine's own training checkpoints hold are enough for a checkpoint, so all else
is refused unless the user trusts the file. Needs torch and numpy only.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import pathlib
import re
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch

from snnssl_mm.checkpoints import read_once
from snnssl_mm.checkpoints.read_once import file_identity

NUMBERS = "?bBhHiIlLqQefdgFDGSUMm"
"""Codes of numpy's types without objects inside; mmengine logs its scalars in such."""
PLAIN: tuple[Any, ...] = (
    argparse.Namespace,
    types.SimpleNamespace,
    *(set, frozenset, list, tuple, dict, range, slice),
    *(bool, int, float, complex, str, bytes),
    *(datetime.datetime, datetime.date, datetime.time),
    *(datetime.timedelta, datetime.timezone),
)
"""Types of the standard library that run no code of anybody else when they are made.

What they hold is read by the same rules, so a Namespace with a function is refused.
"""
READ_AS_DICT = (
    "collections.defaultdict",
    "addict.addict.Dict",
    "easydict.EasyDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
)
"""Dicts with code of their own; their items are read without it."""
STATISTICS = ("min", "max", "mean", "current")
FOREIGN = (
    (b"version https://git-lfs", "a pointer of Git LFS: get the file by git lfs pull"),
    (b"<", "a web page: download the file itself"),
    (b"\x1f\x8b", "packed by gzip: unpack it"),
    (b"\x89HDF", "a file of HDF5, such as Keras writes"),
)
"""How other files begin that are given for checkpoints, and what they are."""
_intact: set[tuple[int, ...]] = set()
"""Files whose checksums were right: they are computed once in a process."""
_code_may_run: ContextVar[bool] = ContextVar("checkpoint_code_may_run", default=False)


class UnsafeCheckpointError(ValueError):
    """A checkpoint would run code; the message says what it asks for and the cure."""


@contextlib.contextmanager
def checkpoint_code_may_run() -> Iterator[None]:
    """Read checkpoints whatever code they run: only for files whose maker you trust.

    Example:
        >>> with checkpoint_code_may_run():  # doctest: +SKIP
        ...     checkpoint = read_checkpoint("of_a_colleague.pth")
    """
    token = _code_may_run.set(True)
    try:
        yield
    finally:
        _code_may_run.reset(token)


def trust_checkpoints() -> None:
    """Let code in checkpoints run from now on, as ``--trust-checkpoint`` asks for."""
    _code_may_run.set(True)


def statistic(kind: Any, name: str) -> Any:
    """What ``getattr`` stands for in a checkpoint: a method of HistoryBuffer.

    mmengine pickles its HistoryBuffers so; ``getattr`` itself would hand out any
    attribute of anything.
    """
    if getattr(kind, "__name__", None) == "HistoryBuffer" and name in STATISTICS:
        return getattr(kind, name)
    raise UnpicklingError(f"getattr of {getattr(kind, '__name__', kind)}.{name}")


class PlainDict:
    """Stands for a class of dicts, and makes none of its own.

    The unpickler fills dicts and OrderedDicts only. The factory of a defaultdict is
    left out.
    """

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Make a plain one of what the pickle hands to the class."""
        return OrderedDict(*(one for one in arguments if isinstance(one, Mapping)))


def paths() -> list[Any]:
    """Paths of both kinds of systems; those of the other kind are pure ones here."""
    pure = {"Windows": pathlib.PureWindowsPath, "Posix": pathlib.PurePosixPath}
    kinds = {f"{system}Path": kind for system, kind in pure.items()}
    kinds |= {kind.__name__: kind for kind in pure.values()}
    kinds[type(pathlib.Path()).__name__] = type(pathlib.Path())
    modules = ("pathlib", "pathlib._local")  # as Python 3.13 calls it
    return [(kind, f"{module}.{n}") for n, kind in kinds.items() for module in modules]


def allowed_globals() -> list[Any]:
    """What training checkpoints hold beside tensors, by torch's safe unpickler."""
    allowed: list[Any] = [*PLAIN, *paths(), np.ndarray, np.dtype]
    allowed += [(PlainDict, name) for name in READ_AS_DICT]
    allowed.append((statistic, "builtins.getattr"))
    allowed += {type(np.dtype(code)) for code in NUMBERS}
    for name in ("_reconstruct", "scalar"):
        function = getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        for module in ("numpy.core", "numpy._core"):  # as numpy 1 and 2 call it
            allowed.append((function, f"{module}.multiarray.{name}"))
    with contextlib.suppress(ImportError):
        from mmengine.logging.history_buffer import HistoryBuffer

        allowed.append(HistoryBuffer)
    return allowed


def require_intact(file: Any) -> bool:
    """Compare every record of a file of ``torch.save`` with its checksum.

    torch does not look at them, and would load flipped bits as other weights. It costs
    65 ms for 100 MB, of which loading takes 100 ms. Files of torch before 1.6, which
    are no zip archives, have no checksums: in them damage to numbers goes unseen.

    Returns:
        Whether there are checksums.

    Raises:
        ValueError: It names the record.
    """
    identity = file_identity(file)
    if identity in _intact:
        return True
    try:
        if not zipfile.is_zipfile(file):
            return False
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    finally:
        if hasattr(file, "seek"):
            file.seek(0)
    if damaged:
        raise ValueError(f"the checksum of its record {damaged} is wrong")
    if identity is not None:
        _intact.add(identity)
    return True


def load(file: Any, map_location: Any = None) -> Any:
    """Read a file of ``torch.save``, once while :mod:`.read_once` keeps files.

    All checkpoints are read here: mmengine's loader calls it too.

    Args:
        file: Path, or a binary file object (which is never kept).
        map_location: As ``torch.load`` takes it.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it would run code.
        ValueError: If it is damaged or something else.
    """
    return read_once.kept_or_read(file, map_location, load_from_disk)


def load_from_disk(
    file: Any, map_location: Any = None, trusted: bool | None = None
) -> Any:
    """Read a file as :func:`load` does, from the disk in any case.

    Args:
        file: Path, or a binary file object.
        map_location: As ``torch.load`` takes it.
        trusted: Whether code in it may run; by default if the user trusts checkpoints.
    """
    name = file if isinstance(file, (str, os.PathLike)) else "the checkpoint"
    trusted = _code_may_run.get() if trusted is None else trusted
    checked = False
    try:
        checked = require_intact(file)
        with torch.serialization.safe_globals(allowed_globals()):
            content = torch.load(
                file, map_location=map_location, weights_only=not trusted
            )
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and unpickler raise anything on any bytes
        if not trusted and (wanted := refused(error, checked)):
            raise UnsafeCheckpointError(
                f"{name} is refused, because reading it could run code: it asks for "
                f"{wanted}; expected tensors, numbers, text, lists and dicts only. If "
                "you made the file, or trust whoever did with this machine, use "
                "--trust-checkpoint, or in Python snnssl_mm.checkpoints.loading."
                "checkpoint_code_may_run()"
            ) from error
        text = str(error).rpartition("WeightsUnpickler error: ")[2]  # torch's own hint
        cause = next(iter(text.splitlines()), "") or type(error).__name__
        what = kind_of(file) or "cut off, damaged or something else"
        raise ValueError(
            f"{name} cannot be read as a checkpoint ({cause[:120]}); expected a whole "
            f"file written by torch.save: it is {what}"
        ) from error
    return content if trusted else without_config_to_run(content, str(name))


def kind_of(file: Any) -> str | None:
    """What a file is that is no checkpoint, if its first bytes tell."""
    if not isinstance(file, (str, os.PathLike)):
        return None
    with open(file, "rb") as opened:
        start = opened.read(64)
    if start[8:9] == b"{" and b'"' in start[9:11]:
        return "a file of safetensors, which torch reads after pip install safetensors"
    return next((what for begin, what in FOREIGN if start.startswith(begin)), None)


def refused(error: BaseException, intact: bool) -> str | None:
    """What torch's safe unpickler would not take, or None if that is not the cause.

    Args:
        error: What reading raised.
        intact: Whether damage is excluded as the cause.
    """
    if not isinstance(error, UnpicklingError):
        return None
    if found := re.search(r"(?:GLOBAL|getattr of) (\S+)", str(error)):
        return found[1]
    return f"more than that ({str(error).splitlines()[-1][:60]})" if intact else None


def without_config_to_run(content: Any, name: str) -> Any:
    """Take the text out of ``meta['config']`` that mmengine runs when it resumes.

    Files of mmcv have it; mmengine, which writes ``'cfg'``, looks in it for a number of
    GPUs.

    Warns:
        UserWarning: It has been taken out.
    """
    meta = content.get("meta") if isinstance(content, MutableMapping) else None
    if isinstance(meta, MutableMapping) and meta.pop("config", None) is not None:
        warnings.warn(
            f"{name} holds Python text as meta['config'], which mmengine would run if "
            "this training were resumed; it is left out",
            stacklevel=3,
        )
    return content


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
) -> Any:
    """Read a file of ``torch.save`` from the network, or from torch's cache of them.

    Args:
        url: Its address.
        model_dir: The cache; by default ``checkpoints`` in torch's.
        map_location: As ``torch.load`` takes it.
        progress: Whether a bar is shown while it is downloaded.

    Raises:
        OSError: If it cannot be downloaded.
        UnsafeCheckpointError: If it would run code.
        ValueError: If it is damaged or no such file.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir(), "checkpoints"))
    file = folder / Path(urlparse(url).path).name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=progress)
        except OSError as error:
            raise OSError(
                f"cannot download {url}: {error}; download it by hand, and name the "
                "file instead"
            ) from error
    return load(str(file), map_location)
