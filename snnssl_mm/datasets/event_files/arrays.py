"""NumPy and HDF5 files of events.

* ``.npz``: arrays ``t``, ``x``, ``y``, ``p``, as spikingjelly writes them; ours have
  the numbers ``height`` and ``width``, too.
* ``.npy``: a structured array with these fields.
* HDF5: four arrays in the file's root or in the group ``events`` (as DSEC), or a
  compound array ``events`` or ``CD/events`` (as Prophesee). Several names of the arrays
  are known, see :data:`NAMES`. Sizes are the attributes ``height`` and ``width``, or
  Prophesee's ``geometry``. Floating-point times are seconds, as in recordings of the
  Robotics and Perception Group.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from snnssl_mm.datasets.event_files.decoding import Decoded, pack_events
from snnssl_mm.datasets.event_files.optional import require_package
from snnssl_mm.datasets.events.recording import EVENT, Recording

NAMES = {
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "t": ("t", "ts", "timestamp", "timestamps"),
    "p": ("p", "ps", "pol", "polarity", "polarities"),
}
"""Names of a column in files, by our name."""
SIZE = ("height", "width")
LONGEST_S = 10_000.0
"""Seconds; floating-point times that span more must be of another unit."""


def find_columns(names: Any) -> dict[str, str]:
    """Return the names of x, y, t and p among ``names``.

    Raises:
        ValueError: If one is missing.
    """
    found = {
        ours: next((name for name in theirs if name in names), "")
        for ours, theirs in NAMES.items()
    }
    if missing := [ours for ours, name in found.items() if not name]:
        raise ValueError(
            f"it has {', '.join(map(str, names)) or 'nothing'}, but no "
            f"{', '.join(missing)}; expected x, y, t and p"
        )
    return found


def read_npz(path: Path) -> Decoded:
    """Read a file.

    Raises:
        Exception: Any error of zipfile and NumPy for a damaged file.
    """
    with np.load(path, allow_pickle=False) as file:
        columns = {ours: file[name] for ours, name in find_columns(file.files).items()}
        height, width = (int(file[key]) if key in file else None for key in SIZE)
    return Decoded(pack_events(**columns), height, width)


def write_npz(stream: BinaryIO, recording: Recording) -> None:
    """Write a file, uncompressed."""
    columns: dict[str, Any] = {name: recording.events[name] for name in "txyp"}
    np.savez(stream, height=recording.height, width=recording.width, **columns)


def read_npy(path: Path) -> Decoded:
    """Map a file of our own type into memory; convert others.

    Raises:
        ValueError: If it is damaged, or not a structured array of events.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    if array.dtype == EVENT and array.ndim == 1:
        polarities = array["p"]
        if len(array) and polarities.max() > 1:
            raise ValueError(f"polarities reach {polarities.max()}; expected 0 and 1")
        return Decoded(array)
    if array.dtype.names is None:
        raise ValueError(
            f"it has an array of {array.dtype} {list(array.shape)}; expected a "
            "structured array with the fields x, y, t, p"
        )
    names = find_columns(array.dtype.names)
    return Decoded(pack_events(**{ours: array[name] for ours, name in names.items()}))


def write_npy(stream: BinaryIO, recording: Recording) -> None:
    """Write a file, which does not hold the sensor's size."""
    np.save(stream, np.ascontiguousarray(recording.events))


def read_hdf5(path: Path) -> Decoded:
    """Read a file.

    Raises:
        Exception: Any error of h5py for a damaged file.
        ValueError: If there are no arrays of events.
    """
    h5py = require_package("h5py", "h5py")
    with h5py.File(path, "r") as file:
        node = file
        for name in ("CD", "events"):
            if not isinstance(node, h5py.Dataset) and name in node:
                node = node[name]
        if isinstance(node, h5py.Dataset):
            values = read_compound(node)
            columns = {
                o: values[n] for o, n in find_columns(values.dtype.names).items()
            }
        else:
            columns = {ours: node[n][()] for ours, n in find_columns(node).items()}
        size = attributes_size(file.attrs) or attributes_size(node.attrs)
        if "t_offset" in file:  # DSEC: times are relative to the first sweep
            columns["t"] = columns["t"] + np.int64(file["t_offset"][()])
    if columns["t"].dtype.kind == "f":
        columns["t"] = microseconds(columns["t"])
    return Decoded(pack_events(**columns), *(size or (None, None)))


def microseconds(seconds: np.ndarray) -> np.ndarray:
    """Convert floating-point times.

    Raises:
        ValueError: If they are no seconds: the recording would take hours.
    """
    span = np.ptp(seconds) if len(seconds) else 0.0
    if span > LONGEST_S:
        raise ValueError(
            f"its times are floating-point numbers, which are seconds, but span "
            f"{span:,.0f}; write microseconds as integers"
        )
    return np.rint(seconds.astype(np.float64) * 1e6).astype(np.int64)


def read_compound(dataset: Any) -> np.ndarray:
    """Read an array of structs.

    Raises:
        ValueError: If it has other elements, or its codec is missing.
    """
    if dataset.dtype.names is None:
        raise ValueError(
            f"{dataset.name} has {dataset.dtype} {list(dataset.shape)}; expected "
            "structs with x, y, t and p, or a group of four arrays"
        )
    try:
        return np.asarray(dataset[()])
    except OSError as error:
        raise ValueError(
            f"{dataset.name} cannot be read ({error}). Files of Prophesee need their "
            "codec: install the plugin of https://github.com/prophesee-ai/hdf5_ecf"
        ) from error


def attributes_size(attributes: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width of the sensor, if attributes have them."""
    if all(key in attributes for key in SIZE):
        return int(attributes["height"]), int(attributes["width"])
    if "geometry" in attributes:
        width, _, height = str(attributes["geometry"]).partition("x")
        return int(height), int(width)
    return None
