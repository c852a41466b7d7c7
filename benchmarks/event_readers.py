#!/usr/bin/env python3
"""Measure how fast recordings of events are read, for every format, on one core.

usage: python benchmarks/event_readers.py [--events 10000000] [--out FILE]

Each file has the same random events of a 128 x 128 sensor, and must be read as they
are. spikingjelly reads three of the formats; it reads fewer of the events where it
loops over them in Python. Files are in the page cache; both sides run in turn.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from harness import digits, interleave, seconds_of, spread, warm_up
from rivals.events import cifar10_dvs, utils

from snnssl_mm.checkpoints.writable import require_writable
from snnssl_mm.datasets import EVENT, Recording, read_events, write_events
from snnssl_mm.datasets.event_files import aedat4
from snnssl_mm.datasets.event_files.files import FORMATS
from snnssl_mm.recording.command import command_line
from snnssl_mm.recording.results_file import ResultsFile

RIVALS: dict[str, Callable[[Path], Any]] = {
    "aedat2": cifar10_dvs._load_origin_data,
    "aedat3": utils.load_aedat_v3,
    "atis": utils.load_ATIS_bin,
}
"""spikingjelly's readers by format."""
KEY = ("format", "reader")
OURS, THEIRS = "snnssl_mm", "spikingjelly"
SIDE = 128
PER_PACKET = 10_000
OUT = Path("work_dirs/event_readers.json")
LOOPS_IN_PYTHON = ("aedat3",)
FEWER = 50
"""Where it loops, spikingjelly gets one event in so many."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/event_readers.json")
    )
    return parser.parse_args()


def made(number: int) -> Recording:
    """Draw events that every format can hold."""
    rng = np.random.default_rng(0)
    events = np.empty(number, EVENT)
    for name, end in (("x", SIDE), ("y", SIDE), ("p", 2)):
        events[name] = rng.integers(0, end, number)
    events["t"] = np.sort(rng.integers(0, 2**23, number))
    return Recording(events, SIDE, SIDE)


def write_hdf5(file: Path, recording: Recording) -> None:
    """Write four arrays in the group ``events``, not compressed."""
    with h5py.File(file, "w") as opened:
        for name in "xytp":
            opened[f"events/{name}"] = recording.events[name]
        opened.attrs.update(height=SIDE, width=SIDE)


def flatbuffer(kind: bytes, field: bytes) -> bytes:
    """Return a FlatBuffer, with its size, of a table with one field, a vector.

    Args:
        kind: Identifier of four letters.
        field: Length (uint32) and elements of the vector, which begin at a multiple of
            8 bytes.
    """
    table = struct.pack("<I4s3H2xiI4x", 16, kind, 6, 8, 4, 8, 8)
    return struct.pack("<I", len(table) + len(field)) + table + field


def write_aedat4(file: Path, recording: Recording) -> None:
    """Write packets without compression."""
    text = (
        "<dv><node name='outInfo'><node name='0'>"
        "<attr key='typeIdentifier'>EVTS</attr><node name='info'>"
        f"<attr key='sizeX'>{SIDE}</attr><attr key='sizeY'>{SIDE}</attr>"
        "</node></node></node></dv>"
    ).encode()
    # The text is field 2 of the header's table; the first two are absent.
    table = struct.pack("<I4s5H2xiI", 20, b"IOHE", 10, 8, 0, 0, 4, 12, 4)
    header = table + struct.pack("<I", len(text)) + text + b"\0"
    stored = np.zeros(len(recording.events), aedat4.STORED)
    for name in "xytp":
        stored[name] = recording.events[name]
    with file.open("wb") as stream:
        stream.write(aedat4.MAGIC + struct.pack("<I", len(header)) + header)
        for start in range(0, len(stored), PER_PACKET):
            part = stored[start : start + PER_PACKET]
            vector = struct.pack("<I", len(part)) + part.tobytes()
            body = flatbuffer(b"EVTS", vector)
            stream.write(aedat4.PACKET.pack(0, len(body)) + body)


OTHER_WRITERS = {"hdf5": write_hdf5, "aedat4": write_aedat4}


def write(folder: Path, name: str, recording: Recording) -> Path:
    """Write a file of a format; return it."""
    file = folder / f"{name}{FORMATS[name].suffixes[0]}"
    if name in OTHER_WRITERS:
        OTHER_WRITERS[name](file, recording)
    else:
        write_events(file, recording, name)
    return file


def measure(name: str, number: int, rounds: int) -> list[dict[str, Any]]:
    """Compare and time the readers of a format; return a row for each."""
    recording = made(number)
    size = dict(height=SIDE, width=SIDE) if name in ("atis", "npy") else {}
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), name, recording)
        found = read_events(file, **size)
        assert np.array_equal(found.events, recording.events), name
        runs: dict[str, Callable[[], Any]] = {OURS: partial(read_events, file, **size)}
        numbers, bytes_each = {OURS: number}, file.stat().st_size / number
        if theirs := RIVALS.get(name):
            numbers[THEIRS] = number // FEWER if name in LOOPS_IN_PYTHON else number
            part = recording.replace_events(recording.events[: numbers[THEIRS]])
            (Path(folder) / THEIRS).mkdir()
            other = write(Path(folder) / THEIRS, name, part)
            events = theirs(other)
            if name == "aedat2":  # it exchanges the axes
                events["x"], events["y"] = events["y"], events["x"]
            for key in "xytp":
                assert np.array_equal(events[key], part.events[key]), (name, key)
            runs[THEIRS] = partial(theirs, other)
        repeats = {reader: warm_up(run, "cpu")[1] for reader, run in runs.items()}
        times = interleave(
            runs,
            lambda reader, run: seconds_of(run, repeats[reader], "cpu"),
            0,
            (rounds, rounds),
        )
    return [
        {
            "format": name,
            "reader": reader,
            "events": numbers[reader],
            "bytes_per_event": digits(bytes_each, 3),
            "seconds": spread(seconds),
            "events_per_second": spread([numbers[reader] / s for s in seconds]),
            "rounds": rounds,
            "command": command_line(),
        }
        for reader, seconds in times.items()
    ]


def main() -> None:
    """Measure, write."""
    args = parse_args()
    require_writable(args.out)
    results = ResultsFile(args.out, "event_readers", KEY)
    for name in args.formats:
        for row in measure(name, args.events, args.rounds):
            results.append(row)
            rate = row["events_per_second"]["median"] / 1e6
            print(f"{name} {row['reader']}: {rate:.3g} million events a second")
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
