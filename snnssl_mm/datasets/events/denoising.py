"""Noise filter: drops events that no event of an adjacent pixel shortly precedes."""

from __future__ import annotations

import numpy as np
from numba import njit

from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.events.views import EventView
from snnssl_mm.registry import TRANSFORMS


@njit(cache=True, nogil=True)
def supported(events: np.ndarray, height: int, width: int, window: int) -> np.ndarray:
    """Tell which events follow an event of an adjacent pixel within a window.

    Args:
        events: Sorted by time.
        height: Rows of the sensor.
        width: Columns of the sensor.
        window: Longest time from the earlier event, in µs.

    Returns:
        numpy.ndarray: Boolean ``[n]``.
    """
    last = np.full((height + 2, width + 2), -window - 1, np.int64)  # with a margin
    kept = np.zeros(len(events), np.bool_)
    for index in range(len(events)):
        event = events[index]
        time, row, column = event.t - events[0].t, event.y + 1, event.x + 1
        for y in range(row - 1, row + 2):
            for x in range(column - 1, column + 2):
                adjacent = y != row or x != column
                if adjacent and time - last[y, x] <= window:
                    kept[index] = True
        last[row, column] = time
    return kept


@TRANSFORMS.register_module()
class EventDenoise(EventView):
    """Drop noise: events that no event of an adjacent pixel shortly precedes.

    A moving edge triggers adjacent pixels one after the other; noise triggers single
    ones. An event is kept if one of the eight pixels around it had an event of either
    polarity at most ``window`` before: the background activity filter of Delbruck (Int.
    Symp. on Secure-Life Electronics 2008). Noise of r events per pixel and second is
    dropped with probability ``exp(-8 r window)`` far from edges (window in seconds).
    Nothing is random unless ``prob`` is below 1, so it suits evaluation too.

    Args:
        window: Longest time from the earlier event, in microseconds.
        prob: Probability of changing anything.

    Example:
        >>> from snnssl_mm.datasets import EVENT, Recording
        >>> events = np.array([(1, 0, 0, 1), (2, 0, 50, 1), (7, 0, 60, 0)], EVENT)
        >>> view = EventDenoise(window=100)
        >>> recording = Recording(events, height=1, width=8)
        >>> view.change(recording).events["t"].tolist()
        [50]
    """

    def __init__(self, window: int = 10_000, prob: float = 1.0) -> None:
        super().__init__(prob)
        if window < 0:
            raise ValueError(f"window must be at least 0 microseconds, got {window}")
        self.window = window

    def change(self, recording: Recording) -> Recording:
        """Return the recording without its noise."""
        kept = supported(
            recording.events, recording.height, recording.width, self.window
        )
        return recording.replace_events(recording.events[kept])
