"""Integration of events into frames: equal times, equal counts, fixed duration, voxels.

A frame counts the events of each pixel and polarity in a window. Windows are slices of
the sorted events, so that a kernel passes them once and divides nothing. The first
three follow ``spikingjelly.datasets`` (Apache-2.0), to the event; where it raises for
an empty window, the frame is empty.
"""

from __future__ import annotations

import numpy as np

from snnssl_mm.datasets.events.recording import Recording


def equal_time_edges(times: np.ndarray, steps: int) -> np.ndarray:
    """Return the edges of T windows of equal time, as indices of events ``[T + 1]``.

    Window j begins at ``t[0] + j D`` with ``D = floor((t[-1] - t[0]) / T)``; the last
    one takes what the rounding leaves.

    Args:
        times: Sorted times in microseconds, ``[n]``.
        steps: T.
    """
    return edges_at(times, duration_of(times) // steps, steps)


def equal_count_edges(times: np.ndarray, steps: int) -> np.ndarray:
    """Return the edges of T windows of ``floor(n / T)`` events, ``[T + 1]``.

    The last window takes the remaining events, which are all if there are fewer than T.
    Arguments are those of :func:`equal_time_edges`.
    """
    edges = np.arange(steps + 1) * (len(times) // steps)
    edges[-1] = len(times)
    return edges


def fixed_duration_edges(times: np.ndarray, steps: int, duration: int) -> np.ndarray:
    """Return the edges of T windows of ``duration`` microseconds, ``[T + 1]``.

    A recording fills ``max(1, ceil((t[-1] - t[0]) / duration))`` windows, see
    :func:`filled_windows`; further windows are empty, and events after T windows are
    left out. An event on the closing edge of the last filled window is part of it.

    Args:
        times: Sorted times in microseconds, ``[n]``.
        steps: T.
        duration: Length of a window in microseconds.
    """
    filled = filled_windows(times, duration)
    edges = edges_at(times, duration, min(filled, steps + 1))[: steps + 1]
    return np.append(edges, np.full(steps + 1 - len(edges), len(times)))


def filled_windows(times: np.ndarray, duration: int) -> int:
    """Count the windows of ``duration`` microseconds that a recording fills."""
    return max(1, -(-duration_of(times) // duration)) if len(times) else 0


def duration_of(times: np.ndarray) -> int:
    """Return the microseconds between the first and the last event."""
    return int(times[-1] - times[0]) if len(times) else 0


def edges_at(times: np.ndarray, duration: int, steps: int) -> np.ndarray:
    """Return the edges of windows of equal length; the last one has no end."""
    if not len(times):
        return np.zeros(steps + 1, np.int64)
    starts = times[0] + duration * np.arange(steps)
    return np.append(np.searchsorted(times, starts), len(times))


def scaled_places(size: tuple[int, int], recording: Recording) -> list[np.ndarray]:
    """Return the row of each row of the sensor in a frame, and the same for columns.

    Row y of H becomes row ``floor(y H' / H)`` of H': when a frame is smaller, events
    of adjacent pixels add up; when it is larger, rows stay empty.

    Args:
        size: H' and W'.
        recording: Recording of a sensor of H rows and W columns.
    """
    sides = ((size[0], recording.height), (size[1], recording.width))
    return [np.arange(old) * new // old for new, old in sides]


def count_events(
    recording: Recording, edges: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Count the events of each window, polarity and pixel.

    Args:
        recording: The events.
        edges: Edges of T windows, indices of events ``[T + 1]``.
        size: Height and width of the frames, see :func:`scaled_places`.

    Returns:
        Counts ``[T, 2, H', W']``, float32; channel 0 is OFF, 1 is ON.

    Raises:
        ValueError: If an event is outside of the sensor or has another polarity.
    """
    from snnssl_mm.datasets.events.kernels import count_kernel  # needs numba

    frames = np.zeros((len(edges) - 1, 2, *size), np.float32)
    places = scaled_places(size, recording)
    outside = count_kernel(np.asarray(recording.events), edges, *places, frames)
    require_inside(outside, recording)
    return frames


def voxel_grid(recording: Recording, steps: int, size: tuple[int, int]) -> np.ndarray:
    """Share each event between the two nearest of T equidistant points of time.

    With ``s = (T - 1) (t - t[0]) / (t[-1] - t[0])``, an event adds
    ``max(0, 1 - |s - j|)`` to step j, so that its shares add up to 1 (Zhu et al.,
    "Unsupervised Event-based Learning of Optical Flow, Depth, and Egomotion", CVPR
    2019; here each polarity has its own channel). All events at one time go to step 0.

    Args:
        recording: The events.
        steps: T.
        size: Height and width of the grid, see :func:`scaled_places`.

    Returns:
        The grid ``[T, 2, H', W']``, float32; channel 0 is OFF, 1 is ON.

    Raises:
        ValueError: From :func:`count_events`.
    """
    from snnssl_mm.datasets.events.kernels import voxel_kernel

    # One step more, so that the last event has a second neighbour.
    grid = np.zeros((steps + 1, 2, *size), np.float32)
    duration = duration_of(recording.events["t"])
    scale = (steps - 1) / duration if duration else 0.0
    places = scaled_places(size, recording)
    outside = voxel_kernel(np.asarray(recording.events), scale, *places, grid)
    require_inside(outside, recording)
    return grid[:-1]


def require_inside(outside: int, recording: Recording) -> None:
    """Refuse events that have no pixel.

    Raises:
        ValueError: If there are any.
    """
    if outside:
        raise ValueError(
            f"{outside:,} of {len(recording.events):,} events are outside of the "
            f"sensor of {recording.width} x {recording.height} pixels, or their "
            "polarity is neither 0 nor 1; clean the recording when it is read"
        )
