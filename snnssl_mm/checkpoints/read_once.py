"""Cache of checkpoints that are read several times during start-up.

Checking the weights, loading them and verifying the loaded weights each read the same
file. Between :func:`files_kept` and :func:`forget` its content stays in memory; every
reader gets its own containers with shared tensors.
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
    """Cache the files that are read, until :func:`forget` or the end of the block.

    A nested block does nothing.
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
    """Clear the cache and stop caching."""
    global _keeping
    _keeping = False
    _kept.clear()


def kept_or_read(file: Any, map_location: Any, read: Callable[[Any, Any], Any]) -> Any:
    """Return the content of a file, from the cache if it is there.

    Args:
        file: Path, or a binary file object (which is never cached).
        map_location: As for ``torch.load``; the file is cached only for a device.
        read: Reads the file; called with the file and ``map_location``.
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
    """Identify a file and its content; None if it is no path or does not exist."""
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
    """Copy all containers; share the tensors that are on the device already."""
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
