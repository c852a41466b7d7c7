"""Cache of checkpoints that several parts of one start-up read.

Checking the weights, loading them and proving that they were loaded each ask for the
same file. Between :func:`files_kept` and :func:`forget` it stays in memory, and every
reader gets containers of its own around the same tensors.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

_keeping = False
_kept: dict[tuple[Any, ...], Any] = {}


@contextlib.contextmanager
def files_kept() -> Iterator[None]:
    """Keep what is read until :func:`forget`, at the latest until the end.

    Inside of another one it does nothing.
    """
    global _keeping
    if _keeping:
        yield
        return
    _keeping = True
    try:
        yield
    finally:
        forget()


def forget() -> None:
    """Free what was kept, and keep nothing further."""
    global _keeping
    _keeping = False
    _kept.clear()


def kept_or_read(file: Any, map_location: Any, read: Callable[[Any, Any], Any]) -> Any:
    """Return what a file holds: from memory if it is kept, else as it is read.

    Args:
        file: Path, or a binary file object (which is never kept).
        map_location: As ``torch.load`` takes it; only a device allows to keep the file.
        read: Reads the file, given it and ``map_location``.
    """
    if callable(map_location) or isinstance(map_location, Mapping) or not _keeping:
        return read(file, map_location)
    key = file_identity(file)
    if key is None:
        return read(file, map_location)
    if key not in _kept:
        _kept[key] = read(file, "cpu")
    return shared_tensors(_kept[key], map_location or "cpu")


def file_identity(file: Any) -> tuple[int, ...] | None:
    """What tells a file and its content; None if it is no path or not there."""
    try:
        status = os.stat(file) if isinstance(file, (str, os.PathLike)) else None
    except OSError:
        return None
    return status and (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
    )


def shared_tensors(content: Any, device: Any) -> Any:
    """Copy all containers, and share the tensors if they are on the device already."""
    if isinstance(content, torch.Tensor):
        return content.to(device)
    if isinstance(content, dict):
        result = copy.copy(content)  # with attributes such as _metadata
        for key, value in content.items():
            result[key] = shared_tensors(value, device)
        return result
    if type(content) in (list, tuple):
        return type(content)(shared_tensors(value, device) for value in content)
    return copy.deepcopy(content)
