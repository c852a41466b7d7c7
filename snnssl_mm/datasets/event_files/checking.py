"""Check of decoded recordings, and their repair on request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files.decoding import Decoded, counts
from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.image_files import log_once

FAULTS = {
    "undecoded_bytes": "bytes at its end hold no whole event",
    "missing_bytes": "bytes are missing at its end",
    "outside": "events lie outside of the sensor",
    "unsorted": "events are earlier than the one before",
}
"""Kinds of damage that ``clean=True`` repairs."""
SKIPPED = {
    "untimed": "events come before the first time stamp",
    "invalid": "events are marked as invalid",
    "not_pixels": "entries are no events of pixels",
}
"""What the formats themselves say to leave out."""

_cleaned: set[Path] = set()


def check(
    decoded: Decoded,
    file: Path,
    height: int | None = None,
    width: int | None = None,
    clean: bool = False,
) -> Recording:
    """Make a recording of what was decoded, if it is intact or may be cleaned.

    Args:
        decoded: Content of the file.
        file: The file, for messages.
        height: Rows of the sensor; needed if the file does not say.
        width: Columns of the sensor.
        clean: Whether to leave out incomplete events at the end and events outside of
            the sensor, and to sort by time (stable), instead of raising an error.

    Raises:
        DataError: If the size is unknown or contradicts the file, if there are no
            events, or if there is damage and ``clean`` is false.
    """
    height = agreed("height", decoded.height, height, file)
    width = agreed("width", decoded.width, width, file)
    events = decoded.events
    inside = (events["x"] < width) & (events["y"] < height)
    outside = len(events) - int(np.count_nonzero(inside))
    kept = events[inside] if outside else events
    if not len(kept):
        raise DataError(
            f"{file} has no events of a sensor of {width} x {height} pixels"
            + (f", but {outside} outside of it" if outside else "")
            + "; correct height and width, or remove the file"
        )
    times = kept["t"]
    unsorted = int(np.count_nonzero(times[1:] < times[:-1]))
    faults = {**decoded.faults, **counts(outside=outside, unsorted=unsorted)}
    if faults and not clean:
        raise DataError(
            f"{file} is damaged: {described(faults)} (of {len(events)} events, for "
            f"{width} x {height} pixels); download or convert it again, correct height "
            "and width, or set clean=True to read what is intact"
        )
    if unsorted:
        kept = kept[np.argsort(times, kind="stable")]
    repairs = {**decoded.skipped, **faults}
    if faults:
        log_cleaned(file, faults)
    return Recording(kept, height, width, repairs)


def agreed(side: str, stored: int | None, given: int | None, file: Path) -> int:
    """Return a side of the sensor from the file or the user.

    Raises:
        DataError: If neither has it, or they contradict each other.
    """
    if stored is None and given is None:
        raise DataError(
            f"{file} does not say how large the sensor is; give height and width in "
            "pixels, such as 34 and 34 for N-MNIST"
        )
    if stored is not None and given is not None and stored != given:
        raise DataError(
            f"{file} is of a sensor with {side} {stored}, but {side}={given} was "
            "given; leave it out, or correct it"
        )
    found = given if stored is None else stored
    if not 0 < found < 65535:  # type: ignore[operator]
        raise DataError(f"{file}: the sensor's {side} must be 1 to 65534, got {found}")
    return int(found)  # type: ignore[arg-type]


def described(repairs: Mapping[str, int]) -> str:
    """Return counts of damage as text."""
    texts = {**FAULTS, **SKIPPED}
    return ", ".join(f"{number} {texts[kind]}" for kind, number in repairs.items())


def log_cleaned(file: Path, faults: Mapping[str, int]) -> None:
    """Log the 1st, 10th, 100th, ... file that was cleaned in this process."""
    if file in _cleaned:
        return
    _cleaned.add(file)
    number = len(_cleaned)
    if number in (1, 10, 100, 1000, 10000, 100000):
        log_once(
            f"{number} recordings were cleaned; the last one is {file}: "
            f"{described(faults)}",
            logging.WARNING,
        )
