"""Safe reading of checkpoints: no code is executed, corruption is detected.

Files of ``torch.save`` and of safetensors are told apart by their content. Unpickling
the former can call any function that the file names. A checkpoint needs only tensors,
plain values, containers of them (such as the ``argparse.Namespace`` of a training
script) and the classes in mmengine's training checkpoints; anything else is refused
unless the user trusts the file. Needs torch, numpy and safetensors only.
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
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from snnssl_mm.checkpoints import read_once, safetensors_files
from snnssl_mm.checkpoints.read_once import file_identity

NUMBERS = "?bBhHiIlLqQefdgFDGSUMm"
"""Type codes of numpy's types without objects; mmengine logs scalars as such."""
PLAIN: tuple[Any, ...] = (
    argparse.Namespace,
    types.SimpleNamespace,
    *(set, frozenset, list, tuple, dict, range, slice),
    *(bool, int, float, complex, str, bytes),
    *(datetime.datetime, datetime.date, datetime.time),
    *(datetime.timedelta, datetime.timezone),
)
"""Standard-library types whose construction runs no foreign code.

Their content is read by the same rules, so a Namespace with a function is refused.
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
"""Subclasses of dict with their own code; their items are read without it."""
STATISTICS = ("min", "max", "mean", "current")
FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer: get the file by git lfs pull"),
    (b"<", "a web page: download the file itself"),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"\x89HDF", "an HDF5 file, as Keras writes them"),
)
"""First bytes of other file formats that are passed as checkpoints, and what to do."""
FOLDER = 0x10
"""Attribute of a folder in a zip archive."""
_intact: set[tuple[int, ...]] = set()
"""Files with correct checksums, which are computed once per process."""
_code_may_run: ContextVar[bool] = ContextVar("checkpoint_code_may_run", default=False)


class UnsafeCheckpointError(ValueError):
    """A checkpoint that would execute code; the message names what, and the fix."""


@contextlib.contextmanager
def checkpoint_code_may_run() -> Iterator[None]:
    """Allow checkpoints to execute code: only for files from a source you trust.

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
    """Allow checkpoints to execute code from now on, as ``--trust-checkpoint`` does."""
    _code_may_run.set(True)


def statistic(kind: Any, name: str) -> Any:
    """Replace ``getattr`` in a checkpoint: return a statistic of HistoryBuffer only.

    mmengine pickles its HistoryBuffers with ``getattr``, which itself would give
    access to any attribute of any object.
    """
    if getattr(kind, "__name__", None) == "HistoryBuffer" and name in STATISTICS:
        return getattr(kind, name)
    raise UnpicklingError(f"getattr of {getattr(kind, '__name__', kind)}.{name}")


class PlainDict:
    """Replacement for a subclass of dict in a checkpoint: it makes an OrderedDict.

    The unpickler fills dicts and OrderedDicts only. The factory of a defaultdict is
    left out.
    """

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Make an OrderedDict from the arguments in the pickle."""
        return OrderedDict(*(one for one in arguments if isinstance(one, Mapping)))


def path_types() -> list[Any]:
    """List pathlib's classes; those of the other operating system become pure paths."""
    pure = {"Windows": pathlib.PureWindowsPath, "Posix": pathlib.PurePosixPath}
    kinds = {f"{system}Path": kind for system, kind in pure.items()}
    kinds |= {kind.__name__: kind for kind in pure.values()}
    kinds[type(pathlib.Path()).__name__] = type(pathlib.Path())
    modules = ("pathlib", "pathlib._local")  # as Python 3.13 calls it
    return [(kind, f"{module}.{n}") for n, kind in kinds.items() for module in modules]


def allowed_globals() -> list[Any]:
    """List what torch's safe unpickler may make besides tensors."""
    allowed: list[Any] = [*PLAIN, *path_types(), np.ndarray, np.dtype]
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
    """Compare every record of a ``torch.save`` file with its checksum.

    torch does not verify checksums and would load flipped bits as weights. It costs 65
    ms per 100 MB, whose loading takes 100 ms. Files of torch before 1.6 are no zip
    archives and have no checksums: corrupt numbers in them are not detected.

    Returns:
        Whether the file has checksums.

    Raises:
        ValueError: If a checksum is wrong, or a record is marked as a folder (torch
            would leave its tensor uninitialised); names the record.
    """
    identity = file_identity(file)
    if identity in _intact:
        return True
    try:
        if not zipfile.is_zipfile(file):
            return False
        with zipfile.ZipFile(file) as archive:
            folders = [r for r in archive.infolist() if r.external_attr & FOLDER]
            damaged = folders[0].filename if folders else archive.testzip()
    finally:
        if hasattr(file, "seek"):
            file.seek(0)
    if damaged:
        raise ValueError(f"its record {damaged} is damaged")
    if identity is not None:
        _intact.add(identity)
    return True


def load(file: Any, map_location: Any = None) -> Any:
    """Read a checkpoint safely; :mod:`.read_once` may cache it.

    All checkpoints are read here: mmengine's loader calls it too.

    Args:
        file: Path, or a binary file object (which is never cached).
        map_location: As for ``torch.load``.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it would execute code.
        ValueError: If it is corrupt or not a checkpoint.
    """
    return read_once.kept_or_read(file, map_location, load_from_disk)


def load_from_disk(
    file: Any, map_location: Any = None, trusted: bool | None = None
) -> Any:
    """Read a file as :func:`load` does, without the cache.

    Args:
        file: Path, or a binary file object.
        map_location: As for ``torch.load``.
        trusted: Whether code in it may be executed; by default what the user chose.
    """
    name = file if isinstance(file, (str, os.PathLike)) else "the checkpoint"
    trusted = _code_may_run.get() if trusted is None else trusted
    checked = False
    try:
        if safetensors_files.is_safetensors(file):
            content = safetensors_files.read(file, map_location)
            return without_executable_config(content, str(name))
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
                f"{name} is refused because reading it could execute code: it asks for "
                f"{wanted}; expected tensors, numbers, text, lists and dicts only. If "
                "you wrote the file, or trust its source, use --trust-checkpoint, or "
                "in Python snnssl_mm.checkpoints.loading.checkpoint_code_may_run()"
            ) from error
        text = str(error).rpartition("WeightsUnpickler error: ")[2]  # torch's own hint
        cause = next(iter(text.splitlines()), "") or type(error).__name__
        what = foreign_format(file) or "cut off, corrupt or another kind of file"
        raise ValueError(
            f"{name} cannot be read as a checkpoint ({cause[:120]}); expected a "
            f"complete file of torch.save or safetensors: it is {what}"
        ) from error
    return content if trusted else without_executable_config(content, str(name))


def foreign_format(file: Any) -> str | None:
    """Name the format of a file that is no checkpoint, from its first bytes.

    Returns:
        A phrase with what to do, or None for an unknown format.
    """
    if not isinstance(file, (str, os.PathLike)):
        return None
    with open(file, "rb") as opened:
        start = opened.read(64)
    if safetensors_files.starts_like(start):
        return "a safetensors file that is cut off or corrupt"
    return foreign_start(start)


def foreign_start(start: bytes) -> str | None:
    """Name the format of a file that no program saved as a checkpoint.

    Args:
        start: Its first bytes.

    Returns:
        A phrase with what to do, or None for an unknown format.
    """
    start = start.lstrip()  # web pages may begin with blank lines
    return next((what for begin, what in FOREIGN if start.startswith(begin)), None)


def refused(error: BaseException, intact: bool) -> str | None:
    """Name what torch's safe unpickler refused, or None if that is not the cause.

    Args:
        error: What reading raised.
        intact: Whether the checksums exclude corruption as the cause.
    """
    if not isinstance(error, UnpicklingError):
        return None
    if found := re.search(r"(?:GLOBAL|getattr of) (\S+)", str(error)):
        return found[1]
    return f"more than that ({str(error).splitlines()[-1][:60]})" if intact else None


def without_executable_config(content: Any, name: str) -> Any:
    """Remove ``meta['config']``, whose text mmengine executes when it resumes.

    Files of mmcv have it; mmengine itself writes ``'cfg'``, and reads a number of GPUs
    from ``'config'``.

    Warns:
        UserWarning: If it was removed.
    """
    meta = content.get("meta") if isinstance(content, MutableMapping) else None
    if isinstance(meta, MutableMapping) and meta.pop("config", None) is not None:
        warnings.warn(
            f"{name} has Python code in meta['config'], which mmengine would execute "
            "on resume; it is left out",
            stacklevel=3,
        )
    return content
