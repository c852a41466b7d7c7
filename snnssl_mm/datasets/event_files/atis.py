"""ATIS ``.bin`` files, the format of N-MNIST and N-Caltech101.

Five bytes per event: x, y, and 24 bits of polarity (the highest) and time in
microseconds. There is no header; the file does not say how large the sensor is.
Source: G. Orchard, A. Jayawant, G. Cohen, N. Thakor, "Converting static image datasets
to spiking neuromorphic datasets using saccades", Frontiers in Neuroscience, 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from snnssl_mm.datasets.event_files.decoding import (
    Decoded,
    counts,
    map_bytes,
    whole_rows,
)
from snnssl_mm.datasets.event_files.fitting import require_fit
from snnssl_mm.datasets.events.recording import EVENT, Recording

OVERFLOW_ROW = 240
"""y of an entry that is no event, but says that the camera's clock overflowed. The
sensor has rows 0 to 239."""
CLOCK = 2**13


def read_atis(path: Path) -> Decoded:
    """Read a file."""
    rows, rest = whole_rows(map_bytes(path), 5)
    events = np.empty(len(rows), EVENT)
    events["x"], events["y"] = rows[:, 0], rows[:, 1]
    events["p"] = rows[:, 2] >> 7
    times = (rows[:, 2] & 0x7F).astype(np.uint32)
    for column in (3, 4):
        times <<= 8
        times |= rows[:, column]
    events["t"] = times
    overflows = rows[:, 1] == OVERFLOW_ROW
    if overflows.any():
        events["t"] += np.cumsum(overflows) * CLOCK
        events = events[~overflows]
    return Decoded(events, faults=counts(undecoded_bytes=rest))


def write_atis(stream: BinaryIO, recording: Recording) -> None:
    """Write a file.

    Raises:
        ValueError: If the format cannot hold the recording.
    """
    events = recording.events
    require_fit(recording, "ATIS .bin", OVERFLOW_ROW, 256, 2**23)
    rows = np.empty((len(events), 5), np.uint8)
    rows[:, 0], rows[:, 1] = events["x"], events["y"]
    word = events["t"] | (events["p"].astype(np.int64) << 23)
    for column, shift in ((2, 16), (3, 8), (4, 0)):
        rows[:, column] = (word >> shift) & 0xFF
    stream.write(rows.tobytes())
