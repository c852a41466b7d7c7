"""AEDAT 2.0 files of jAER, the format of CIFAR10-DVS.

Text lines that begin with ``#``, then an address and a time in microseconds per event,
32 bits each, big-endian. What the address means depends on the chip that the header
names. jAER counts rows from below and columns from the right; here (0, 0) is the
upper left pixel.
Source: https://docs.inivation.com/software/software-advanced-usage/file-formats/
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from snnssl_mm.datasets.event_files.chips import chip_size
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

MAGIC = b"#!AER-DAT2."
DVS128 = (128, 128)


class Address(NamedTuple):
    """Bits of an address: the lowest bit and the mask after shifting by it.

    Attributes:
        x: Column, counted from the right.
        y: Row, counted from below.
        p: Polarity.
        on: Value of the polarity bit of ON events.
        other: Mask of bits that are set if the entry is no event of a pixel.
    """

    x: tuple[int, int]
    y: tuple[int, int]
    p: int
    on: int
    other: int


DVS = Address((1, 0x7F), (8, 0x7F), 0, 0, 1 << 15)
DAVIS = Address((12, 0x3FF), (22, 0x1FF), 11, 1, 1 << 31 | 1 << 10)


def read_aedat2(path: Path) -> Decoded:
    """Read a file.

    Raises:
        ValueError: If the addresses are not those of the chip.
    """
    content = map_bytes(path)
    lines, start = header_lines(content, b"#", "End Of ASCII Header")
    size = chip_size("\n".join(line for line in lines if "AEChip" in line)) or DVS128
    height, width = size
    rows, rest = whole_rows(content[start:], 8)
    words = rows.reshape(-1).view(">u4")
    address, times = words[::2].astype(np.uint32), words[1::2].astype(np.uint32)
    layout = DVS if size == DVS128 else DAVIS
    if layout is DVS and address.max(initial=0) >> 16:
        raise ValueError(
            "it has addresses of more than 16 bits, but its header names no chip "
            "(line 'AEChip') other than a DVS128"
        )
    marked = address & np.uint32(layout.other)
    others = int(np.count_nonzero(marked))
    if others:
        address, times = address[marked == 0], times[marked == 0]
    events = np.empty(len(address), EVENT)
    for name, side in (("x", width), ("y", height)):
        low, mask = getattr(layout, name)
        place = address >> np.uint32(low)
        place &= np.uint32(mask)
        # Below 0 wraps to a large number, which counts as outside of the sensor.
        events[name] = np.subtract(np.uint32(side - 1), place, out=place)
    events["p"] = ((address >> layout.p) & 1) == layout.on
    events["t"] = unwrap(times)
    return Decoded(
        events, height, width, counts(undecoded_bytes=rest), counts(not_pixels=others)
    )


def write_aedat2(stream: BinaryIO, recording: Recording) -> None:
    """Write a file of a DVS128.

    Raises:
        ValueError: If the recording is not of 128 x 128 pixels, or too long.
    """
    if (recording.height, recording.width) != DVS128:
        raise ValueError(
            "AEDAT 2 is written for sensors of 128 x 128 pixels, but the recording has "
            f"{recording.width} x {recording.height}; write .npz"
        )
    require_fit(recording, "AEDAT 2", *DVS128, 2**31)
    events = recording.events
    words = np.empty((len(events), 2), ">u4")
    words[:, 0] = (127 - events["x"]).astype(np.uint32) << 1
    words[:, 0] |= (127 - events["y"]).astype(np.uint32) << 8
    words[:, 0] |= 1 - events["p"]
    words[:, 1] = events["t"]
    stream.write(b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n" + words.tobytes())
