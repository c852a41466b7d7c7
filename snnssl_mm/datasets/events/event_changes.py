"""Views that drop events, add noise or exchange polarities."""

from __future__ import annotations

import math

import numpy as np

from snnssl_mm.datasets.events.recording import EVENT, Recording
from snnssl_mm.datasets.events.views import (
    EventView,
    range_within,
    sorted_by_time,
    uniform,
)
from snnssl_mm.registry import TRANSFORMS

DROPS = ("chance", "time", "area")


@TRANSFORMS.register_module()
class EventPolarityFlip(EventView):
    """Exchange ON and OFF, as if dark and bright were exchanged.

    Args:
        prob: Probability of changing anything.
    """

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(prob)

    def change(self, recording: Recording) -> Recording:
        """Return the recording with the other polarities."""
        events = recording.events.copy()
        events["p"] ^= 1
        return recording.replace_events(events)


@TRANSFORMS.register_module()
class EventDrop(EventView):
    """Drop events by chance, in an interval of time, or in an area.

    The three of Gu et al., "EventDrop: Data Augmentation for Event-based Learning",
    IJCAI 2021; mmcv's ``RandomChoice`` draws one of several.

    Args:
        by: ``'chance'``: each event by itself; ``'time'``: all of an interval;
            ``'area'``: all of a rectangle with the sensor's proportions.
        share: Range of what is dropped, as a share of the events, the duration or the
            area.
        prob: Probability of changing anything.
    """

    def __init__(
        self,
        by: str = "chance",
        share: tuple[float, float] = (0.0, 0.3),
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob)
        if by not in DROPS:
            raise ValueError(f"by must be one of {DROPS}, got {by!r}")
        self.by = by
        self.share = range_within("share", share, 0, 1)

    def change(self, recording: Recording) -> Recording:
        """Return the recording without the dropped events."""
        events, share = recording.events, uniform(self.share)
        if self.by == "chance":
            dropped = uniform((0, 1), len(events)) < share
        elif self.by == "time":
            times = events["t"] - events["t"][0]
            dropped = in_interval(times, recording.duration, share)
        else:
            side = math.sqrt(share)
            dropped = in_interval(events["x"], recording.width, side)
            dropped &= in_interval(events["y"], recording.height, side)
        return recording.replace_events(events[~dropped])


def in_interval(values: np.ndarray, length: int, share: float) -> np.ndarray:
    """Tell which values from 0 to ``length`` are in a random interval of a share."""
    begin = uniform((0, 1 - share)) * length
    inside: np.ndarray = (values >= begin) & (values < begin + share * length)
    return inside


@TRANSFORMS.register_module()
class EventNoise(EventView):
    """Add events at random places and times, of random polarity.

    Args:
        rate: Range of the noise's rate, in events per pixel and second. The number of
            events has a Poisson distribution.
        prob: Probability of changing anything.
    """

    def __init__(
        self, rate: tuple[float, float] = (0.0, 1.0), prob: float = 1.0
    ) -> None:
        super().__init__(prob)
        self.rate = range_within("rate", rate, 0, float("inf"))

    def change(self, recording: Recording) -> Recording:
        """Return the recording with the noise, sorted by time."""
        volume = recording.height * recording.width * recording.duration * 1e-6
        count = np.random.poisson(uniform(self.rate) * volume)  # noqa: NPY002
        noise = np.empty(count, EVENT)
        for name, limit in (
            ("x", recording.width),
            ("y", recording.height),
            ("t", recording.duration),
            ("p", 2),
        ):
            noise[name] = np.random.randint(0, limit, count)  # noqa: NPY002
        noise["t"] += recording.events["t"][0]
        both = np.concatenate([recording.events, noise])
        return recording.replace_events(sorted_by_time(both))
