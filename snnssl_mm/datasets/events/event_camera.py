"""Simulated event camera, in integer arithmetic.

A pixel of an event camera emits an event when the logarithm of its intensity has
changed by a threshold since the last one (Lichtsteiner et al., IEEE JSSC 2008; as a
simulator, Rebecq et al., CoRL 2018). Thresholds differ from pixel to pixel, a pixel is
blind for a while after an event, and some events are noise. Intensities, thresholds and
times are integers, so that a seed gives the same events on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from snnssl_mm.datasets.events.recording import EVENT, Recording

PIXEL = 256
"""Units of a displacement in a pixel."""

LOG_UNIT = 1024
"""Units of a threshold in a change by a factor of e."""

FULL_SCALE = 255
"""Largest intensity of a scene."""

AMBIENT = 40
"""Intensity of ambient light, which is added to a scene: black is not quite dark."""

SUBDIVISIONS = 16
"""Steps between two intensities of a scene, for interpolation between pixels."""

NOISE_BIN = 10_000
"""Interval in µs in which a pixel has at most one noise event."""

LOG_INTENSITY = np.rint(
    LOG_UNIT
    * np.log1p(np.arange(FULL_SCALE * SUBDIVISIONS + 1) / SUBDIVISIONS / AMBIENT)
).astype(np.int64)


@njit(cache=True)
def interpolate(scene: np.ndarray, x: int, y: int) -> int:
    """Interpolate a scene at a place in 1/256 pixel; return 1/16 of its intensities."""
    column, row, right, low = x >> 8, y >> 8, x & 255, y & 255
    upper = (256 - right) * scene[row, column] + right * scene[row, column + 1]
    lower = (256 - right) * scene[row + 1, column] + right * scene[row + 1, column + 1]
    return ((256 - low) * upper + low * lower) >> 12


@njit(cache=True)
def threshold_crossings(
    scene: np.ndarray,
    path: np.ndarray,
    times: np.ndarray,
    log_intensity: np.ndarray,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Find where and when the log intensity has changed by a threshold.

    Between two times the log intensity changes linearly.

    Args:
        scene: Intensities ``[h, w]``, larger than the sensor by equal margins.
        path: Displacements (x, y) of the scene ``[K, 2]``, in 1/256 pixel.
        times: Their times ``[K]`` in µs.
        log_intensity: Table by intensity, in 1/16.
        thresholds: Of decreases and increases, ``[2, H, W]``.

    Returns:
        Codes, see :func:`decode`, in no order.
    """
    _, height, width = thresholds.shape
    top, left = (scene.shape[0] - height) // 2, (scene.shape[1] - width) // 2
    codes = np.empty(height * width, np.int64)
    count = 0
    for pixel in range(height * width):
        y, x = pixel // width, pixel % width
        reference = before = np.int64(0)
        for k in range(len(times)):
            across, down = ((left + x) << 8) - path[k, 0], ((top + y) << 8) - path[k, 1]
            now = log_intensity[interpolate(scene, across, down)]
            if k == 0:
                reference = before = now
            polarity = 1 if now > before else 0
            step = (2 * polarity - 1) * thresholds[polarity, y, x]
            # A pixel may cross its threshold several times between two times.
            while now != before and (now - reference - step) * step >= 0:
                reference += step
                passed = (times[k] - times[k - 1]) * (reference - before)
                time = times[k - 1] + passed // (now - before)
                if count == len(codes):
                    codes = np.concatenate((codes, np.empty_like(codes)))
                codes[count] = (time * height * width + pixel) * 2 + polarity
                count += 1
            before = now
    return codes[:count]


@njit(cache=True)
def outside_refractory(codes: np.ndarray, pixels: int, refractory: int) -> np.ndarray:
    """Drop events that follow another of their pixel too soon.

    Args:
        codes: Sorted codes, see :func:`decode`.
        pixels: Number of pixels.
        refractory: Time in µs for which a pixel is blind after an event.

    Returns:
        The codes that remain.
    """
    blind_until = np.zeros(pixels, np.int64)
    kept = np.empty_like(codes)
    count = 0
    for code in codes:
        pixel = (code >> 1) % pixels
        time = (code >> 1) // pixels
        if time >= blind_until[pixel]:
            blind_until[pixel] = time + refractory
            kept[count] = code
            count += 1
    return kept[:count]


def decode(codes: np.ndarray, height: int, width: int) -> Recording:
    """Turn sorted codes into a recording.

    An event is ``2 (t H W + y W + x) + p`` while it is computed: codes sort by time,
    then pixel, and any sorting algorithm gives the same order.
    """
    places, times = (codes >> 1) % (height * width), (codes >> 1) // (height * width)
    events = np.empty(len(codes), EVENT)
    events["x"], events["y"] = places % width, places // width
    events["t"], events["p"] = times, codes & 1
    return Recording(events, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class EventCamera:
    """Simulated event camera with its fixed pattern of thresholds.

    Attributes:
        thresholds: Changes of the log intensity that are an OFF and an ON event,
            ``[2, H, W]`` in 1/1024.
        refractory: Time in µs for which a pixel is blind after an event.
        noise: Rate of noise events, in 1/65536 per pixel and 10 ms.
    """

    thresholds: np.ndarray
    refractory: int
    noise: int

    @classmethod
    def draw(
        cls,
        height: int,
        width: int,
        rng: np.random.Generator,
        threshold: float = 0.3,
        mismatch: float = 0.1,
        refractory: int = 1000,
        noise_rate: float = 1.0,
    ) -> EventCamera:
        """Draw a camera.

        Args:
            height: Height of the sensor in pixels.
            width: Width of the sensor in pixels.
            rng: Source of randomness.
            threshold: Mean change of the natural logarithm of the intensity.
            mismatch: Standard deviation of the thresholds, relative to their mean.
            refractory: Time in µs for which a pixel is blind after an event.
            noise_rate: Noise events per pixel and second.

        Raises:
            ValueError: If a value is out of its range.
        """
        if threshold <= 0 or not 0 <= mismatch <= 0.25:
            raise ValueError(
                "EventCamera needs threshold > 0 and mismatch in [0, 0.25], got "
                f"threshold={threshold}, mismatch={mismatch}"
            )
        if refractory < 0 or not 0 <= noise_rate <= 1e6 / NOISE_BIN:
            raise ValueError(
                "EventCamera needs refractory >= 0 and noise_rate in [0, "
                f"{1e6 / NOISE_BIN:g}], got refractory={refractory}, "
                f"noise_rate={noise_rate}"
            )
        # The sum of four uniform numbers of -k to k is nearly normal: std 2k / sqrt(3).
        spread = round(LOG_UNIT * threshold * mismatch * 3**0.5 / 2)
        parts = rng.integers(-spread, spread, (4, 2, height, width), endpoint=True)
        thresholds = np.maximum(round(LOG_UNIT * threshold) + parts.sum(0), 1)
        return cls(thresholds, refractory, round(noise_rate * NOISE_BIN * 65536 / 1e6))

    def record(
        self,
        scene: np.ndarray,
        path: np.ndarray,
        times: np.ndarray,
        rng: np.random.Generator,
    ) -> Recording:
        """Record a moving scene.

        Args:
            scene: Intensities 0..255 ``[h, w]``, integers; larger than the sensor by
                margins that are equal left and right, and top and bottom.
            path: Displacements (x, y) of the scene ``[K, 2]``, integers in 1/256 pixel.
            times: Their times ``[K]`` in µs, integers that grow, from 0 on.
            rng: Source of the noise.

        Returns:
            The simulated recording.

        Raises:
            ValueError: If the margins are smaller than the motion.
        """
        _, height, width = self.thresholds.shape
        margins = (scene.shape[1] - width) // 2, (scene.shape[0] - height) // 2
        reach = np.abs(path).max(axis=0)
        if (reach > PIXEL * (np.array(margins) - 1)).any():
            needed = (-(-reach // PIXEL) + 1).tolist()
            raise ValueError(
                f"a scene that moves by {(reach / PIXEL).round(1).tolist()} pixels "
                f"needs margins of {needed} (x, y), got {list(margins)}"
            )
        signal = threshold_crossings(
            scene.astype(np.int64), path, times, LOG_INTENSITY, self.thresholds
        )
        codes = np.sort(np.concatenate([signal, self._noise(int(times[-1]), rng)]))
        kept = outside_refractory(codes, height * width, self.refractory)
        return decode(kept, height, width)

    def _noise(self, duration: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the codes of noise events."""
        pixels = self.thresholds[0].size
        bins = -(-duration // NOISE_BIN)
        draws = rng.integers(1 << 16, size=(bins, pixels), dtype=np.uint16)
        chosen, places = np.nonzero(draws < self.noise)
        times = chosen * NOISE_BIN + rng.integers(NOISE_BIN, size=len(places))
        codes = (times * pixels + places) * 2 + rng.integers(2, size=len(places))
        return codes[times < duration]
