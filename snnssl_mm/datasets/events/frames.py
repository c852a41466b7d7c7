"""Transform that turns a recording into a clip of frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from snnssl_mm.datasets.events.integration import (
    count_events,
    equal_count_edges,
    equal_time_edges,
    filled_windows,
    fixed_duration_edges,
    voxel_grid,
)
from snnssl_mm.registry import TRANSFORMS

EDGES = {"time": equal_time_edges, "count": equal_count_edges}
BY, VALUES = (*EDGES, "duration"), ("count", "binary", "voxel")


@TRANSFORMS.register_module()
class EventFrames(BaseTransform):
    """Integrate a recording into one frame per time step.

    Requires ``recording``. Adds ``img`` (float32 ``[T, 2, H, W]``; channel 0 is OFF,
    1 is ON), ``img_shape`` and, with ``by='duration'``, ``padding_mask`` (``[T]``, True
    for frames after the end of the recording; ``PackInputs`` keeps it if it is among
    its ``algorithm_keys``). An empty recording gives empty frames. Must be the last
    transform before ``PackInputs``.

    Args:
        time_steps: T.
        size: Height and width of the frames; the sensor's by default. Coordinates are
            scaled, see :func:`.integration.scaled_places`.
        by: Windows of equal ``'time'``, of equal ``'count'`` of events, or of a fixed
            ``'duration'``. See :mod:`snnssl_mm.datasets.events.integration`.
        value: ``'count'`` of events, ``'binary'`` (1 if there is any), or ``'voxel'``,
            a grid bilinear in time.
        duration: Length of a frame in microseconds, for ``by='duration'``.

    Raises:
        ValueError: If an argument is out of range, or two do not fit together.

    Example:
        >>> from snnssl_mm.datasets import EVENT, Recording
        >>> events = np.array([(1, 0, 10, 1), (1, 0, 12, 1), (0, 0, 19, 0)], EVENT)
        >>> frames = EventFrames(time_steps=2)
        >>> frames({"recording": Recording(events, height=1, width=2)})["img"].tolist()
        [[[[0.0, 0.0]], [[0.0, 2.0]]], [[[1.0, 0.0]], [[0.0, 0.0]]]]
    """

    def __init__(
        self,
        time_steps: int = 4,
        size: tuple[int, int] | None = None,
        by: str = "time",
        value: str = "count",
        duration: int | None = None,
    ) -> None:
        if by not in BY or value not in VALUES:
            raise ValueError(
                f"by must be one of {BY} and value one of {VALUES}, got by={by!r} and "
                f"value={value!r}"
            )
        if time_steps < 1 or (size is not None and (len(size) != 2 or min(size) < 1)):
            raise ValueError(
                "EventFrames needs time_steps >= 1 and size=(height, width) of 1 or "
                f"more, got time_steps={time_steps} and size={size}"
            )
        if (by == "duration") != (duration is not None and duration >= 1):
            raise ValueError(
                "duration is the length of a frame in microseconds, at least 1, for "
                f"by='duration' only; got by={by!r} and duration={duration}"
            )
        if value == "voxel" and by != "time":
            raise ValueError(
                "a voxel grid has equidistant points of time; use by='time' with "
                f"value='voxel', got by={by!r}"
            )
        self.time_steps = time_steps
        self.size = size
        self.by = by
        self.value = value
        self.duration = duration

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the frames as ``img``."""
        recording = results["recording"]
        size = (recording.height, recording.width) if self.size is None else self.size
        times, steps = recording.events["t"], self.time_steps
        if self.value == "voxel":
            frames = voxel_grid(recording, steps, tuple(size))
        elif self.duration is None:
            frames = count_events(recording, EDGES[self.by](times, steps), tuple(size))
        else:
            edges = fixed_duration_edges(times, steps, self.duration)
            frames = count_events(recording, edges, tuple(size))
            filled = filled_windows(times, self.duration)
            results["padding_mask"] = np.arange(steps) >= filled
        if self.value == "binary":
            np.minimum(frames, 1, out=frames)
        results["img"], results["img_shape"] = frames, tuple(size)
        return results
