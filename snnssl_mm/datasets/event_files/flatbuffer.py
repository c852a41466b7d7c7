"""The few parts of FlatBuffers that AEDAT 4 needs, with all positions checked.

The buffers come from files, so a position may point anywhere; the flatbuffers package
does not check them.
Source: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


class Buffer:
    """A FlatBuffer.

    Args:
        content: Its bytes, without the prefix of its size.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.root = self.follow(0)

    def read(self, kind: str, position: int) -> Any:
        """Read a little-endian number.

        Raises:
            ValueError: If it lies outside of the buffer.
        """
        if not 0 <= position <= len(self.content) - struct.calcsize(kind):
            raise ValueError(f"a FlatBuffer points to byte {position}, outside of it")
        return struct.unpack_from(f"<{kind}", self.content, position)[0]

    def follow(self, position: int) -> int:
        """Return the position to which an offset points."""
        return position + int(self.read("I", position))

    def field(self, number: int) -> int | None:
        """Return the position of a field of the root table; None if it is absent."""
        vtable = self.root - self.read("i", self.root)
        slot = 4 + 2 * number
        if slot >= self.read("H", vtable):
            return None
        offset = self.read("H", vtable + slot)
        return self.root + offset if offset else None

    def number(self, number: int, kind: str, default: int) -> int:
        """Return a field that is a number."""
        position = self.field(number)
        return default if position is None else int(self.read(kind, position))

    def text(self, number: int) -> str:
        """Return a field that is a string; empty if it is absent."""
        return self.array(number, np.dtype("S1")).tobytes().decode("utf-8", "replace")

    def array(self, number: int, dtype: np.dtype) -> np.ndarray:
        """Return a field that is a vector of structs; empty if it is absent.

        Raises:
            ValueError: If it reaches beyond the buffer.
        """
        position = self.field(number)
        if position is None:
            return np.empty(0, dtype)
        start = self.follow(position)
        length = self.read("I", start)
        if start + 4 + length * dtype.itemsize > len(self.content):
            raise ValueError(f"a FlatBuffer has {length} elements, but ends before")
        return np.frombuffer(self.content, dtype, length, start + 4)
