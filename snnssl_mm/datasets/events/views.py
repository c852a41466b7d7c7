"""Base class of the views on events, and what they share."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from snnssl_mm.datasets.events.recording import Recording


class EventView(BaseTransform):
    """Base class of transforms that change a recording before it is integrated.

    Randomness comes from numpy's global generator, which mmengine seeds per worker and
    :class:`snnssl_mm.engine.EpochSeedHook` per epoch. Requires and changes
    ``recording``, out of place; an empty one stays as it is.

    Args:
        prob: Probability of changing anything.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, prob: float = 1.0) -> None:
        self.prob = within("prob", prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with another ``recording``, or with the same."""
        recording = results["recording"]
        if np.random.random_sample() < self.prob and len(recording.events):  # noqa: NPY002
            results["recording"] = self.change(recording)
        return results

    def change(self, recording: Recording) -> Recording:
        """Return a changed copy of a recording that has events."""
        raise NotImplementedError


def uniform(limits: tuple[float, float], count: int | None = None) -> Any:
    """Draw numbers uniformly from a range."""
    return np.random.uniform(*limits, count)  # noqa: NPY002


def within(name: str, value: float, low: float, high: float) -> float:
    """Return an argument.

    Raises:
        ValueError: If it is not between ``low`` and ``high``.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")
    return value


def range_within(
    name: str, limits: tuple[float, float], low: float, high: float
) -> tuple[float, float]:
    """Return an argument that is a range.

    Raises:
        ValueError: If it descends, or is not between ``low`` and ``high``.
    """
    if len(limits) != 2 or not low <= limits[0] <= limits[1] <= high:
        raise ValueError(
            f"{name} must be a range (a, b) with {low} <= a <= b <= {high}, got "
            f"{limits}"
        )
    return (limits[0], limits[1])


def places(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows of the events, float64 ``[n]`` each."""
    x, y = (recording.events[name].astype(np.float64) for name in ("x", "y"))
    return x, y


def points(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Draw a point in the pixel of each event; return it as :func:`places` does.

    Where pixels are enlarged or turned, events then spread over the new pixels that
    theirs covers, and leave no gaps.
    """
    x, y = np.random.random_sample((2, len(recording.events))) + places(recording)  # noqa: NPY002
    return x, y


def placed(recording: Recording, x: np.ndarray, y: np.ndarray) -> Recording:
    """Move the events of a recording, and drop those that leave the sensor.

    Args:
        recording: The events, ``[n]``.
        x: Columns, float64 ``[n]``; an event is in the pixel ``floor(x)``.
        y: Rows, the same.
    """
    inside = (x >= 0) & (x < recording.width) & (y >= 0) & (y < recording.height)
    events = recording.events[inside]  # a copy
    events["x"], events["y"] = x[inside], y[inside]
    return recording.replace_events(events)


def sorted_by_time(events: np.ndarray) -> np.ndarray:
    """Sort events by time; those of one time keep their order."""
    return events[np.argsort(events["t"], kind="stable")]
