"""Recordings of event cameras in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "u1")])
"""One event: pixel, time in microseconds, polarity (1 = ON, brighter; 0 = OFF)."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Events of a sensor, sorted by time.

    Attributes:
        events: Structured array ``[n]`` of :data:`EVENT`, sorted by ``t``. It may be a
            read-only map of a file: change a copy, see :meth:`replace_events`.
        height: Rows of the sensor; 0 <= y < height.
        width: Columns of the sensor; 0 <= x < width. (0, 0) is the upper left pixel.
        repairs: Counts of what reading left out or reordered, by kind; see
            :func:`snnssl_mm.datasets.read_events`.
    """

    events: np.ndarray
    height: int
    width: int
    repairs: Mapping[str, int] = field(default_factory=dict)

    @property
    def duration(self) -> int:
        """Time from the first to the last event, both included, in microseconds."""
        if not len(self.events):
            return 0
        return int(self.events["t"][-1] - self.events["t"][0]) + 1

    def replace_events(self, events: np.ndarray) -> Recording:
        """Return a recording of the same sensor with other events."""
        return replace(self, events=events)
