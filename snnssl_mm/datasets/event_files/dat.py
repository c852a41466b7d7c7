"""Prophesee ``.dat`` files, the format of N-Cars.

A text header of lines ``% KEYWORD VALUE``, a byte for the type and one for the size of
an event, then eight bytes per event, little-endian: the time in microseconds, and an
address of x (14 bits), y (14 bits) and polarity (4 bits). Before version 2, and in
files that do not state a version, the address has 9, 8 and 1 bits.
Source: https://docs.prophesee.ai/stable/data/file_formats/dat.html
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from snnssl_mm.datasets.event_files.decoding import (
    Decoded,
    counts,
    header_lines,
    map_bytes,
    unwrap,
    whole_rows,
)
from snnssl_mm.datasets.event_files.fitting import require_fit
from snnssl_mm.datasets.events.recording import EVENT, Recording

STORED = np.dtype([("t", "<u4"), ("address", "<u4")])
TYPES = (0, 12)
"""Generic 2-D events and changes of contrast; the others are triggers, IMU, ..."""
BITS = {1: (9, 8), 2: (14, 14)}
"""Bits of x and y by version; the polarity follows."""
SIZE = ("height", "width")


def read_dat(path: Path) -> Decoded:
    """Read a file.

    Raises:
        ValueError: If it holds something else than events of pixels.
    """
    content = map_bytes(path)
    lines, start = header_lines(content, b"%")
    header = {key.lower(): value for key, _, value in (s.partition(" ") for s in lines)}
    if lines:
        if len(content) < start + 2:
            raise ValueError("it ends in its header")
        kind, size = (int(byte) for byte in content[start : start + 2])
        if kind not in TYPES or size != STORED.itemsize:
            raise ValueError(
                f"it holds events of type {kind} of {size} bytes; expected type 0 or "
                "12 (CD) of 8 bytes"
            )
        start += 2
    rows, rest = whole_rows(content[start:], STORED.itemsize)
    stored = rows.reshape(-1).view(STORED)
    version = int(header.get("version", "1").partition(".")[0])
    bits_x, bits_y = BITS[2 if version >= 2 else 1]
    address = stored["address"]
    events = np.empty(len(stored), EVENT)
    events["x"] = address & (2**bits_x - 1)
    events["y"] = (address >> bits_x) & (2**bits_y - 1)
    events["p"] = (address >> (bits_x + bits_y)) & 1
    events["t"] = unwrap(stored["t"])
    height, width = (int(header[k]) if k in header else None for k in SIZE)
    return Decoded(events, height, width, counts(undecoded_bytes=rest))


def write_dat(stream: BinaryIO, recording: Recording) -> None:
    """Write a file of version 2.

    Raises:
        ValueError: If the format cannot hold the recording.
    """
    require_fit(recording, ".dat", 2**14, 2**14, 2**32)
    stream.write(
        b"%% Data file containing CD events\n%% Version 2\n"
        b"%% Width %d\n%% Height %d\n"
        % (recording.width, recording.height)
        + bytes((12, STORED.itemsize))
    )
    events = recording.events
    stored = np.empty(len(events), STORED)
    stored["t"] = events["t"]
    stored["address"] = events["x"]
    stored["address"] |= events["y"].astype(np.uint32) << 14
    stored["address"] |= events["p"].astype(np.uint32) << 28
    stream.write(stored.tobytes())
