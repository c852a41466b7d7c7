"""AEDAT 3.1 files of cAER, the format of DVS128 Gesture.

Text lines that begin with ``#``, then packets: a header of 28 bytes, and as many events
as the packet has room for. Polarity events have eight bytes, little-endian: validity
(bit 0), polarity (1), y (2 to 16) and x (17 to 31); then 31 bits of time in
microseconds, whose higher bits are in the packet's header.
Source: https://docs.inivation.com/software/software-advanced-usage/file-formats/
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from snnssl_mm.datasets.event_files.chips import chip_size
from snnssl_mm.datasets.event_files.decoding import (
    Decoded,
    counts,
    header_lines,
    map_bytes,
)
from snnssl_mm.datasets.event_files.fitting import require_fit
from snnssl_mm.datasets.events.recording import EVENT, Recording

MAGIC = b"#!AER-DAT3."
PACKET = struct.Struct("<hhiiiiii")
"""Type, source, bytes per event, offset of the time, overflows of the time, room for
events, number of events, number of valid events."""
POLARITY = 1
STORED = np.dtype([("address", "<u4"), ("t", "<i4")])
PER_PACKET = 4096


def read_aedat3(path: Path) -> Decoded:
    """Read a file.

    Raises:
        ValueError: If its version or form is not supported.
    """
    content = map_bytes(path)
    lines, start = header_lines(content, b"#", "!END-HEADER")
    if lines[:1] != ["!AER-DAT3.1"]:
        raise ValueError(f"its first line is {lines[:1]}; expected #!AER-DAT3.1")
    forms = [line for line in lines if line.startswith("Format:")]
    if forms and forms[0].partition(":")[2].strip() != "RAW":
        raise ValueError(f"it has the {forms[0]}; expected RAW")
    packets, end, missing = find_packets(content, start)
    sizes = [number for _, number, _ in packets]
    stored = np.empty(sum(sizes), STORED)
    position = 0
    for first, number, _ in packets:
        part = content[first : first + number * STORED.itemsize]
        stored[position : position + number] = part.view(STORED)
        position += number
    overflows = np.repeat(np.array([o for *_, o in packets], np.int64), sizes)
    times = stored["t"] + (overflows << 31)
    valid = stored["address"] & 1 == 1
    invalid = len(stored) - int(np.count_nonzero(valid))
    if invalid:
        stored, times = stored[valid], times[valid]
    events = np.empty(len(stored), EVENT)
    events["x"] = stored["address"] >> 17
    events["y"] = (stored["address"] >> 2) & 0x7FFF
    events["p"] = (stored["address"] >> 1) & 1
    events["t"] = times
    source = "\n".join(line for line in lines if line.startswith("Source"))
    height, width = chip_size(source) or (None, None)
    faults = counts(undecoded_bytes=len(content) - end, missing_bytes=missing)
    return Decoded(events, height, width, faults, counts(invalid=invalid))


def find_packets(
    content: np.ndarray, start: int
) -> tuple[list[tuple[int, int, int]], int, int]:
    """Find the packets of polarity events.

    Args:
        content: Bytes of the file.
        start: Where the packets begin.

    Returns:
        tuple: For each packet the first byte, the number of events and the overflows of
        the time; the end of the last packet, or of what is there of it; how many bytes
        of it are missing.
    """
    packets = []
    while start + PACKET.size <= len(content):
        kind, _, size, _, overflows, room, number, _ = PACKET.unpack_from(
            content.data, start
        )
        first = start + PACKET.size
        wrong_size = kind == POLARITY and size != STORED.itemsize
        if wrong_size or size <= 0 or not 0 <= number <= room or overflows < 0:
            break  # damaged
        there = min(room, (len(content) - first) // size)
        if kind == POLARITY:
            packets.append((first, min(number, there), overflows))
        start = first + size * there
        if there < room:
            return packets, start, first + size * room - len(content)
    return packets, start, 0


def write_aedat3(stream: BinaryIO, recording: Recording) -> None:
    """Write a file.

    Raises:
        ValueError: If the format cannot hold the recording.
    """
    require_fit(recording, "AEDAT 3.1", 2**15, 2**15, 2**62)
    size = (recording.height, recording.width)
    source = f"DVS{size[0]}" if size[0] == size[1] else f"DAVIS{size[1]}"
    stream.write(
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: %s\r\n#!END-HEADER\r\n"
        % source.encode()
    )
    events = recording.events
    stored = np.empty(len(events), STORED)
    stored["address"] = (events["x"].astype(np.uint32) << 17) | 1
    stored["address"] |= events["y"].astype(np.uint32) << 2
    stored["address"] |= events["p"].astype(np.uint32) << 1
    stored["t"] = events["t"] & 0x7FFFFFFF
    overflows = events["t"] >> 31
    # A packet has one number of overflows.
    cuts = np.flatnonzero(np.diff(overflows)) + 1
    cuts = np.union1d(cuts, np.arange(0, len(events), PER_PACKET))
    for part in np.split(np.arange(len(events)), cuts[cuts > 0]):
        if len(part):
            number = len(part)
            stream.write(
                PACKET.pack(
                    *(POLARITY, 1, STORED.itemsize, 4, overflows[part[0]]),
                    *(number, number, number),
                )
            )
            stream.write(stored[part].tobytes())
