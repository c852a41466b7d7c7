"""Reading and writing of recordings in any known format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from snnssl_mm.checkpoints.atomic_files import open_atomically
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files import aedat2, aedat3, aedat4
from snnssl_mm.datasets.event_files.arrays import (
    read_hdf5,
    read_npy,
    read_npz,
    write_npy,
    write_npz,
)
from snnssl_mm.datasets.event_files.atis import read_atis, write_atis
from snnssl_mm.datasets.event_files.checking import check
from snnssl_mm.datasets.event_files.dat import read_dat, write_dat
from snnssl_mm.datasets.event_files.decoding import Decoded
from snnssl_mm.datasets.event_files.evt import read_raw, write_evt2, write_evt3
from snnssl_mm.datasets.events.recording import Recording

HEAD = 16
"""Bytes in which a format's beginning is looked for."""


class Format(NamedTuple):
    """A format of files.

    Attributes:
        suffixes: Suffixes of its files, lower-case.
        magic: How its files begin; empty if they begin with anything.
        read: Decodes a file that is not empty.
        write: Writes a recording; None if the format is only read.
    """

    suffixes: tuple[str, ...]
    magic: bytes
    read: Callable[[Path], Decoded]
    write: Callable[[BinaryIO, Recording], None] | None = None


AEDAT = (".aedat",)
AEDAT4 = (".aedat4", ".aedat")
HDF5 = (".h5", ".hdf5")
FORMATS = {
    "aedat2": Format(AEDAT, aedat2.MAGIC, aedat2.read_aedat2, aedat2.write_aedat2),
    "aedat3": Format(AEDAT, aedat3.MAGIC, aedat3.read_aedat3, aedat3.write_aedat3),
    "aedat4": Format(AEDAT4, aedat4.MAGIC, aedat4.read_aedat4),
    "evt2": Format((".raw",), b"%", read_raw, write_evt2),
    "evt3": Format((".raw",), b"%", read_raw, write_evt3),
    "dat": Format((".dat",), b"", read_dat, write_dat),
    "atis": Format((".bin",), b"", read_atis, write_atis),
    "hdf5": Format(HDF5, b"\x89HDF\r\n\x1a\n", read_hdf5),
    "npz": Format((".npz",), b"PK", read_npz, write_npz),
    "npy": Format((".npy",), b"\x93NUMPY", read_npy, write_npy),
}
"""The formats by name. The first that fits by beginning and suffix is taken."""


def recording_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all formats."""
    return tuple(sorted({s for kind in FORMATS.values() for s in kind.suffixes}))


def find_format(file: Path, name: str | None = None) -> str:
    """Return the format of a file by its first bytes and its suffix.

    Args:
        file: The file.
        name: The format if it is known.

    Raises:
        DataError: If the file is missing, unreadable or empty, or if its format is
            unknown.
    """
    if name is not None and name not in FORMATS:
        raise DataError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise DataError(
            f"cannot read {file}: {error.strerror or error}; expected a recording"
        ) from error
    if not head:
        raise DataError(f"{file} is empty; download it again, or remove it")
    if name is not None:
        return name
    suffix = file.suffix.lower()
    known = [name for name, kind in FORMATS.items() if suffix in kind.suffixes]
    for found in known:
        if head.startswith(FORMATS[found].magic):
            return found
    if known:
        raise DataError(
            f"{file} does not begin like a file of {' or '.join(known)}, but with "
            f"{head!r}; download it again, or give its format"
        )
    raise DataError(
        f"{file} has the suffix {suffix!r}, which no format has; expected "
        f"{', '.join(recording_suffixes())}, or give its format"
    )


def read_events(
    path: str | Path,
    format: str | None = None,
    height: int | None = None,
    width: int | None = None,
    clean: bool = False,
    transpose: bool = False,
) -> Recording:
    """Read a recording of an event camera.

    Args:
        path: The file.
        format: One of ``aedat2``, ``aedat3``, ``aedat4``, ``evt2``, ``evt3``, ``dat``,
            ``atis``, ``hdf5``, ``npz``, ``npy``; by default found by the file's
            beginning and suffix.
        height: Rows of the sensor, needed if the file does not say (``.bin``, ``.npy``,
            and many ``.npz``, ``.dat`` and HDF5 files).
        width: Columns of the sensor.
        clean: Whether to repair damage: leave out an incomplete end and events outside
            of the sensor, and sort by time. The counts are logged, and are the
            recording's ``repairs``.
        transpose: Whether to exchange x and y, as CIFAR10-DVS needs.

    Returns:
        Recording: Events sorted by time. Damage never passes unnoticed, except that
        formats without a length (``.bin``, ``.dat``, AEDAT 2 and 3, EVT) cannot show
        that a file was cut exactly between two events.

    Raises:
        DataError: If the file is missing, empty, of another format, or damaged; if a
            package is missing; or if the sensor's size is not known.
    """
    file = Path(path).expanduser()
    name = find_format(file, format)
    try:
        decoded = FORMATS[name].read(file)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except Exception as error:  # damaged files make NumPy and h5py raise any kind
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{file} cannot be read as {name}: {reason}; download or convert it again, "
            "or give its format"
        ) from error
    if transpose:
        decoded = transposed(decoded)
    return check(decoded, file, height, width, clean)


def transposed(decoded: Decoded) -> Decoded:
    """Exchange x and y."""
    events = np.array(decoded.events)
    events["x"], events["y"] = decoded.events["y"], decoded.events["x"]
    return decoded._replace(events=events, height=decoded.width, width=decoded.height)


def write_events(
    path: str | Path, recording: Recording, format: str | None = None
) -> None:
    """Write a recording; the file is complete or absent.

    ``.npz`` holds any recording with the size of its sensor. The other formats are for
    programs that need them.

    Args:
        path: The file.
        recording: What to write.
        format: As in :func:`read_events`; by default the first that has the suffix of
            ``path`` (AEDAT 2, EVT 2.0).

    Raises:
        DataError: If the format is unknown, only read, or cannot hold the recording.
        OSError: If the file cannot be written.
    """
    file = Path(path).expanduser()
    suffix = file.suffix.lower()
    by_suffix = (name for name, kind in FORMATS.items() if suffix in kind.suffixes)
    name = format or next(by_suffix, "")
    write = FORMATS[name].write if name in FORMATS else None
    if write is None:
        able = [name for name, kind in FORMATS.items() if kind.write]
        raise DataError(
            f"cannot write {file} as {name or 'a file of unknown suffix'}; expected "
            f"one of the formats {', '.join(able)}"
        )
    recording = replace(recording, events=np.asarray(recording.events))
    try:
        with open_atomically(file) as stream:
            write(stream, recording)
    except ValueError as error:
        raise DataError(f"cannot write {file}: {error}") from error
