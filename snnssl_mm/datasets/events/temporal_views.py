"""Views that change the time of events: window and jitter."""

from __future__ import annotations

import numpy as np

from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.events.views import (
    EventView,
    range_within,
    sorted_by_time,
    uniform,
)
from snnssl_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EventTimeWindow(EventView):
    """Keep the events of a random window of time.

    Views of different times are two pipelines of a ``MultiView`` (``num_views=[1,
    1]``), the first ``within=(0, 0.5)`` and the second ``within=(0.5, 1)``.

    Args:
        share: Range of the window's length, as a share of the part it is drawn from.
        within: Part of the recording that it is drawn from, in shares of its duration.
        prob: Probability of changing anything.
    """

    def __init__(
        self,
        share: tuple[float, float] = (0.5, 1.0),
        within: tuple[float, float] = (0.0, 1.0),
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob)
        self.share = range_within("share", share, 0, 1)
        self.within = range_within("within", within, 0, 1)

    def change(self, recording: Recording) -> Recording:
        """Return the window; times stay, the closing edge is not part of it."""
        share, place = uniform(self.share), uniform((0, 1))
        begin, end = self.within
        begin += place * (1 - share) * (end - begin)
        end = begin + share * (self.within[1] - self.within[0])
        times = recording.events["t"]
        edges = times[0] + np.array([begin, end]) * recording.duration
        first, last = np.searchsorted(times, edges)
        return recording.replace_events(recording.events[first:last])


@TRANSFORMS.register_module()
class EventTimeJitter(EventView):
    """Move each event in time by Gaussian noise, within the recording's duration.

    Args:
        std: Range of the noise's standard deviation, in microseconds.
        prob: Probability of changing anything.
    """

    def __init__(
        self, std: tuple[float, float] = (0.0, 2000.0), prob: float = 1.0
    ) -> None:
        super().__init__(prob)
        self.std = range_within("std", std, 0, float("inf"))

    def change(self, recording: Recording) -> Recording:
        """Return the recording with other times, sorted again."""
        events = recording.events.copy()
        times = events["t"]
        moved = times + np.random.normal(0, uniform(self.std), len(times))  # noqa: NPY002
        events["t"] = np.clip(np.rint(moved), times[0], times[-1])
        return recording.replace_events(sorted_by_time(events))
