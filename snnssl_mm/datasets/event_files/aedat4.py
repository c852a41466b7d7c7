"""AEDAT 4 files of iniVation's DV.

A header (a FlatBuffer) with the compression and an XML text that describes the streams;
then packets: stream, size and a FlatBuffer, compressed by itself. A table of all
packets may follow, which is not needed here. Uncompressed files need no other package;
LZ4 needs ``lz4``, Zstandard needs ``zstandard``.
Source: https://docs.inivation.com/software/software-advanced-usage/file-formats/
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from snnssl_mm.datasets.event_files.decoding import Decoded, counts, map_bytes
from snnssl_mm.datasets.event_files.flatbuffer import Buffer
from snnssl_mm.datasets.event_files.optional import require_package
from snnssl_mm.datasets.events.recording import EVENT

MAGIC = b"#!AER-DAT4.0\r\n"
STORED = np.dtype(
    {
        "names": ["t", "x", "y", "p"],
        "formats": ["<i8", "<i2", "<i2", "?"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
PACKET = struct.Struct("<ii")
"""Stream and size."""


def read_aedat4(path: Path) -> Decoded:
    """Read a file.

    Raises:
        ValueError: If it is damaged, or has not exactly one stream of events.
    """
    content = map_bytes(path)
    begin = len(MAGIC)
    size = int.from_bytes(content[begin : begin + 4].tobytes(), "little")
    start = begin + 4 + size
    if len(content) < start:
        raise ValueError("it ends in its header")
    header = Buffer(content[begin + 4 : start].tobytes())
    decompress = decompressor(header.number(0, "i", 0))
    table = header.number(1, "q", -1)
    stream, height, width = event_stream(header.text(2))
    parts = [np.empty(0, STORED)]
    end = min(table, len(content)) if table >= start else len(content)
    while start + PACKET.size <= end:
        number, size = PACKET.unpack_from(content.data, start)
        if size < 0 or start + PACKET.size + size > end:
            break
        if number == stream:
            body = content[start + PACKET.size : start + PACKET.size + size].tobytes()
            try:
                parts.append(Buffer(decompress(body)[4:]).array(0, STORED))
            except (ValueError, RuntimeError) as error:  # RuntimeError: of lz4
                raise ValueError(
                    f"the packet at byte {start} is damaged ({error})"
                ) from error
        start += PACKET.size + size
    stored = np.concatenate(parts)
    events = np.empty(len(stored), EVENT)
    for name in "xytp":
        # Negative coordinates become more than 32767, so they count as outside.
        events[name] = stored[name].view(np.uint16) if name in "xy" else stored[name]
    faults = counts(
        undecoded_bytes=end - start, missing_bytes=max(0, table - len(content))
    )
    return Decoded(events, height, width, faults)


def decompressor(kind: int) -> Callable[[bytes], bytes]:
    """Return the function that decompresses packets.

    Args:
        kind: 0 none, 1 and 2 LZ4, 3 and 4 Zstandard.

    Raises:
        ValueError: If the kind is unknown.
        DataError: If a package is missing.
    """
    if kind == 0:
        return bytes
    if kind in (1, 2):
        return require_package("lz4.frame", "lz4").decompress
    if kind in (3, 4):
        zstandard = require_package("zstandard", "zstandard")
        # The frame's header need not have the size, without which .decompress fails.
        return lambda body: (
            zstandard.ZstdDecompressor().decompressobj().decompress(body)
        )
    raise ValueError(f"its compression has the number {kind}; expected 0 to 4")


def event_stream(text: str) -> tuple[int, int | None, int | None]:
    """Return number, height and width of the only stream of events.

    Args:
        text: XML of the header: ``outInfo`` has a node for each stream, whose name is
            the number.

    Raises:
        ValueError: If there is no stream of events, or more than one.
    """
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"its header is no XML ({error})") from error
    found = []
    for node in tree.iterfind(".//node[@name='outInfo']/node"):
        kind = node.findtext("attr[@key='typeIdentifier']")
        if kind == "EVTS":
            sides = [
                node.findtext(f"node[@name='info']/attr[@key='size{axis}']")
                for axis in "YX"
            ]
            height, width = (int(side) if side else None for side in sides)
            found.append((int(node.get("name", "")), height, width))
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} streams of events; expected one")
    return found[0]
