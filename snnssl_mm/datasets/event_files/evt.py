"""Prophesee ``.raw`` files with EVT 2.0 or EVT 3.0.

A text header of lines ``% KEYWORD VALUE``, then the words of
:mod:`snnssl_mm.datasets.event_files.evt_kernels`, little-endian.
Source: https://docs.prophesee.ai/stable/data/file_formats/raw.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from snnssl_mm.datasets.event_files.decoding import (
    Decoded,
    counts,
    header_lines,
    map_bytes,
    whole_rows,
)
from snnssl_mm.datasets.event_files.fitting import require_fit
from snnssl_mm.datasets.events.recording import EVENT, Recording

WORDS: dict[str, np.dtype] = {"2": np.dtype("<u4"), "3": np.dtype("<u2")}
"""Words by version."""
LARGEST = 2**11
SIZE = ("height", "width")


def read_raw(path: Path) -> Decoded:
    """Read a file.

    Raises:
        ValueError: If the header names another encoding.
    """
    # Compiled on use, which takes seconds without numba's cache.
    from snnssl_mm.datasets.event_files import evt_kernels

    content = map_bytes(path)
    lines, start = header_lines(content, b"% ", "end")
    header = read_header(lines)
    version = header.get("version", "").removesuffix(".0")
    if version not in WORDS:
        raise ValueError(
            f"its header names the encoding {header.get('version', 'of none')!r}; "
            "expected EVT 2.0 or 3.0. Convert it to one of these by Prophesee's "
            "metavision_file_to_dat or metavision_file_to_hdf5"
        )
    if header.get("endianness", "little") != "little":
        raise ValueError("it is big-endian; expected little-endian")
    rows, rest = whole_rows(content[start:], WORDS[version].itemsize)
    words = rows.reshape(-1).view(WORDS[version])
    if version == "2":
        size = int(np.count_nonzero(words < 2 << 28))
        decode = evt_kernels.decode_evt2
    else:
        size = evt_kernels.count_evt3(words)
        decode = evt_kernels.decode_evt3
    events = np.empty(size, EVENT)
    number, untimed = decode(words, *(events[name] for name in "xytp"))
    height, width = (int(header[k]) if k in header else None for k in SIZE)
    return Decoded(
        events[:number],
        height,
        width,
        counts(undecoded_bytes=rest),
        counts(untimed=untimed),
    )


def read_header(lines: list[str]) -> Mapping[str, str]:
    """Read version, endianness, height and width, as far as they are there.

    Such as ``format EVT3;height=720;width=1280``, or ``evt 2.0`` and
    ``geometry 640x480``.
    """
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "evt":
            found.setdefault("version", value)
        elif key == "endianness":
            found[key] = value
        elif key == "geometry":
            found["width"], _, found["height"] = value.partition("x")
        elif key == "format":
            name, *options = value.split(";")
            found["version"] = name.upper().removeprefix("EVT").replace("21", "2.1")
            found |= dict(option.split("=") for option in options)
    return found


def header_text(version: int, recording: Recording) -> bytes:
    """Return the header of a file."""
    size = (recording.width, recording.height)
    return (
        b"%% evt %d.0\n%% format EVT%d;height=%d;width=%d\n%% geometry %dx%d\n%% end\n"
        % (version, version, size[1], size[0], *size)
    )


def write_evt2(stream: BinaryIO, recording: Recording) -> None:
    """Write EVT 2.0: a word of time where it changes, and a word per event.

    Raises:
        ValueError: If the format cannot hold the recording.
    """
    require_fit(recording, "EVT 2.0", LARGEST, LARGEST, 2**34)
    events = recording.events
    high = events["t"] >> 6
    words = (events["p"].astype(np.int64) << 28) | ((events["t"] & 0x3F) << 22)
    words |= (events["x"].astype(np.int64) << 11) | events["y"]
    changed = np.flatnonzero(np.diff(high, prepend=-1))
    words = np.insert(words, changed, (8 << 28) | high[changed])
    stream.write(header_text(2, recording) + words.astype(WORDS["2"]).tobytes())


def write_evt3(stream: BinaryIO, recording: Recording) -> None:
    """Write EVT 3.0 without vectors: words of time and row where they change.

    Raises:
        ValueError: If the format cannot hold the recording.
    """
    require_fit(recording, "EVT 3.0", LARGEST, LARGEST, 2**24)
    events = recording.events
    y, low, high = events["y"], events["t"] & 0xFFF, events["t"] >> 12
    new_high = np.diff(high, prepend=-1) != 0
    states = (  # in this order before an event
        (new_high, (8 << 12) | high),
        (new_high | (np.diff(low, prepend=-1) != 0), (6 << 12) | low),
        (np.diff(y.astype(np.int64), prepend=-1) != 0, y.astype(np.int64)),
    )
    columns = [np.where(changed, word, -1) for changed, word in states]
    pixel = (2 << 12) | (events["p"].astype(np.int64) << 11) | events["x"]
    words = np.stack([*columns, pixel], axis=1).reshape(-1)
    content = words[words >= 0].astype(WORDS["3"]).tobytes()
    stream.write(header_text(3, recording) + content)
