"""Checkpoints that several parts of one start-up read, read from the disk once.

Checking the weights, loading them and proving that they were loaded each ask for the
same file. Between :func:`files_kept` and :func:`forget` it stays in memory, and every
reader gets containers of its own around the same tensors.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from snnssl_mm.checkpoints import reading

_keeping = False
_kept: dict[tuple[Any, ...], Any] = {}


@contextlib.contextmanager
def files_kept() -> Iterator[None]:
    """Keep what :func:`load` reads until :func:`forget`, at the latest until the end.

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


def load(file: Any, map_location: Any = None) -> Any:
    """Read a file of ``torch.save`` like :func:`snnssl_mm.checkpoints.reading.load`.

    Args:
        file: Path, or a binary file object (which is never kept).
        map_location: As ``torch.load`` takes it.
    """
    if not _keeping or not isinstance(file, (str, os.PathLike)):
        return reading.load(file, map_location)
    if callable(map_location) or isinstance(map_location, Mapping):
        return reading.load(file, map_location)
    key = reading.file_identity(file)
    if key is None or key not in _kept:
        content = reading.load(file, "cpu")
        if key is None:
            return content
        _kept[key] = content
    return shared_tensors(_kept[key], map_location or "cpu")


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
