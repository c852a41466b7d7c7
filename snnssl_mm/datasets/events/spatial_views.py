"""Views that move events on the sensor: crop, shift, flip, rotation."""

from __future__ import annotations

import math

from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.datasets.events.views import (
    EventView,
    placed,
    places,
    points,
    range_within,
    uniform,
    within,
)
from snnssl_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EventResizedCrop(EventView):
    """Cut out a random part of the sensor and scale it to the sensor's size.

    The events of an enlarged pixel are spread at random over the pixels it covers. With
    an area above 1 the recording shrinks to a random place. Its ``ratio`` may still
    leave one side of the part shorter than the sensor's: that axis is cut and enlarged.

    Args:
        scale: Range of the part's area, in areas of the sensor.
        ratio: Range of the part's width by its height (log-uniform), in units of the
            sensor's.
        prob: Probability of changing anything.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.5, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob)
        self.scale = range_within("scale", scale, 1e-4, 1e4)
        self.ratio = range_within("ratio", ratio, 1e-2, 1e2)

    def change(self, recording: Recording) -> Recording:
        """Return the part; up to an area of 1, its sides are at most the sensor's."""
        area, (right, down) = uniform(self.scale), uniform((0, 1), 2)
        stretch = math.exp(uniform((math.log(self.ratio[0]), math.log(self.ratio[1]))))
        longest = 1.0 if area <= 1 else math.inf
        width = min(longest, math.sqrt(area * stretch)) * recording.width
        height = min(longest, math.sqrt(area / stretch)) * recording.height
        left = right * (recording.width - width)
        top = down * (recording.height - height)
        x, y = points(recording)
        return placed(
            recording,
            (x - left) * (recording.width / width),
            (y - top) * (recording.height / height),
        )


@TRANSFORMS.register_module()
class EventShift(EventView):
    """Shift a recording by whole pixels.

    Args:
        shift: Largest shift along each axis, in sides of the sensor.
        prob: Probability of changing anything.
    """

    def __init__(self, shift: float = 0.15, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.shift = within("shift", shift, 0, 1)

    def change(self, recording: Recording) -> Recording:
        """Return the shifted recording."""
        right, down = uniform((-self.shift, self.shift), 2)
        x, y = places(recording)
        return placed(
            recording,
            x + round(right * recording.width),
            y + round(down * recording.height),
        )


@TRANSFORMS.register_module()
class EventFlip(EventView):
    """Exchange left and right.

    Args:
        prob: Probability of changing anything.
    """

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(prob)

    def change(self, recording: Recording) -> Recording:
        """Return the mirrored recording."""
        x, y = places(recording)
        return placed(recording, recording.width - 1 - x, y)


@TRANSFORMS.register_module()
class EventRotation(EventView):
    """Rotate a recording about the middle of the sensor.

    The events of a turned pixel are spread at random over the pixels it covers.

    Args:
        rotation: Largest angle to either side, in radians.
        prob: Probability of changing anything.
    """

    def __init__(self, rotation: float = 0.25, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.rotation = within("rotation", rotation, 0, math.pi)

    def change(self, recording: Recording) -> Recording:
        """Return the rotated recording."""
        angle = uniform((-self.rotation, self.rotation))
        cosine, sine = math.cos(angle), math.sin(angle)
        x, y = points(recording)
        x, y = x - recording.width / 2, y - recording.height / 2
        return placed(
            recording,
            cosine * x - sine * y + recording.width / 2,
            sine * x + cosine * y + recording.height / 2,
        )
