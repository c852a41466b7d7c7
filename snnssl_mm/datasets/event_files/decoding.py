"""What the decoders of all formats share."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from snnssl_mm.datasets.events.recording import EVENT

NOTHING: Mapping[str, int] = MappingProxyType({})
OUTSIDE = 65535
"""Stands for a coordinate that uint16 cannot hold; no sensor has it."""


class Decoded(NamedTuple):
    """Content of a file, not checked yet.

    Attributes:
        events: Structured array of :data:`~snnssl_mm.datasets.events.recording.EVENT`.
        height: Rows of the sensor, or None if the file does not say.
        width: Columns of the sensor, or None.
        faults: Counts of damage by kind, see
            :data:`snnssl_mm.datasets.event_files.checking.FAULTS`.
        skipped: Counts of what the format itself says to leave out, by kind.
    """

    events: np.ndarray
    height: int | None = None
    width: int | None = None
    faults: Mapping[str, int] = NOTHING
    skipped: Mapping[str, int] = NOTHING


def counts(**numbers: int) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {kind: int(number) for kind, number in numbers.items() if number}


def map_bytes(path: Path) -> np.ndarray:
    """Map a file, which must not be empty, into memory: uint8, read-only."""
    with path.open("rb") as file:  # np.memmap takes a third of a small file's time
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.uint8)


def whole_rows(content: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Split bytes into rows ``[n, size]``, and count those that are left over."""
    rest = len(content) % size
    return content[: len(content) - rest].reshape(-1, size), rest


def header_lines(
    content: np.ndarray, mark: bytes, last: str = ""
) -> tuple[list[str], int]:
    """Read the text lines at the beginning of a file.

    Args:
        content: Bytes of the file.
        mark: How a line of the header begins. What is not UTF-8 text, or has control
            characters, is data that begins with the same byte.
        last: The line that ends the header, if the file has it.

    Returns:
        tuple: The lines without mark and line ending, and where the data begin.
    """
    lines = []
    start = 0
    while content[start : start + len(mark)].tobytes() == mark:
        line = content[start : start + 65536].tobytes().partition(b"\n")[0]
        text = as_text(line.removesuffix(b"\r"))
        if text is None or start + len(line) == len(content):
            break
        lines.append(text[len(mark) :].strip())
        start += len(line) + 1
        if last and lines[-1] == last:
            break
    return lines, start


def as_text(line: bytes) -> str | None:
    """Decode a line; None if it is not UTF-8 or has control characters but tabs."""
    if any(byte < 32 and byte != 9 for byte in line):
        return None
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def pack_events(
    x: np.ndarray, y: np.ndarray, t: np.ndarray, p: np.ndarray
) -> np.ndarray:
    """Make events of columns of integers.

    Coordinates that uint16 cannot hold become :data:`OUTSIDE`, so that the check of the
    sensor's size finds them.

    Args:
        x: Columns of the pixels.
        y: Rows of the pixels.
        t: Times in microseconds.
        p: Polarities: 0 and 1, or -1 and 1, or booleans.

    Raises:
        ValueError: If the lengths differ, a column is not of integers, or polarities
            have other values.
    """
    columns = {"x": x, "y": y, "t": t, "p": p}
    if len({column.shape for column in columns.values()}) > 1 or x.ndim != 1:
        shapes = ", ".join(f"{name} {list(c.shape)}" for name, c in columns.items())
        raise ValueError(f"the columns are {shapes}; expected one length [n]")
    events = np.empty(len(x), EVENT)
    for name in "xy":
        events[name] = coordinates(whole_numbers(columns[name], name))
    events["t"] = whole_numbers(t, "t")
    events["p"] = polarities(p if p.dtype == bool else whole_numbers(p, "p"))
    return events


def whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Return integers, also from floating-point numbers without fractions.

    Raises:
        ValueError: If a value is not a whole number.
    """
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind == "f" and (np.abs(values) < 2**53).all():
        whole = values.astype(np.int64)
        if (whole == values).all():
            return whole
    raise ValueError(f"{name} has {values.dtype} that are not whole numbers")


def coordinates(values: np.ndarray) -> np.ndarray:
    """Convert coordinates to uint16; what it cannot hold becomes :data:`OUTSIDE`."""
    if values.dtype in (np.uint8, np.uint16):
        return values
    held = (values >= 0) & (values < OUTSIDE)
    return np.where(held, values, OUTSIDE).astype(np.uint16)


def polarities(values: np.ndarray) -> np.ndarray:
    """Convert polarities of 0 and 1, or of -1 and 1, to 0 and 1.

    Raises:
        ValueError: If there are other values, or all three.
    """
    if not len(values) or values.dtype == bool:
        return values
    low, high = int(values.min()), int(values.max())
    if low < -1 or high > 1 or (low < 0 and (values == 0).any()):
        raise ValueError(
            f"polarities are from {low} to {high}; expected 0 and 1, or -1 and 1"
        )
    return values > 0


def unwrap(times: np.ndarray) -> np.ndarray:
    """Continue a 32-bit clock where it starts again from zero (after 71.6 minutes).

    Args:
        times: Times as the file has them, uint32.

    Returns:
        numpy.ndarray: int64, or ``times`` if they never step back. A step back of less
        than half of the clock is no overflow, and remains.
    """
    if not (times[1:] < times[:-1]).any():
        return times
    long = times.astype(np.int64)
    long[1:] += np.cumsum(np.diff(long) < -(2**31)) << 32
    return long
