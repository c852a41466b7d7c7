"""Kernels that add events to frames, compiled by numba; see :mod:`.integration`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def count_kernel(
    events: np.ndarray,
    edges: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    frames: np.ndarray,
) -> int:
    """Add 1 for each event; return the number of events without a pixel."""
    outside = 0
    for step in range(len(edges) - 1):
        frame = frames[step]
        for index in range(edges[step], edges[step + 1]):
            event = events[index]
            if event.x >= len(columns) or event.y >= len(rows) or event.p > 1:
                outside += 1
            else:
                frame[event.p, rows[event.y], columns[event.x]] += 1
    return outside


@njit(cache=True, nogil=True)
def voxel_kernel(
    events: np.ndarray,
    scale: float,
    rows: np.ndarray,
    columns: np.ndarray,
    grid: np.ndarray,
) -> int:
    """Add the shares of each event; return the number of events without a pixel."""
    outside = 0
    for index in range(len(events)):
        event = events[index]
        if event.x >= len(columns) or event.y >= len(rows) or event.p > 1:
            outside += 1
            continue
        place = scale * (event.t - events[0].t)
        step = int(place)
        share = np.float32(place - step)
        row, column = rows[event.y], columns[event.x]
        grid[step, event.p, row, column] += np.float32(1) - share
        grid[step + 1, event.p, row, column] += share
    return outside
