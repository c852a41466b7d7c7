"""Check that a format can hold a recording."""

from __future__ import annotations

from snnssl_mm.datasets.events.recording import Recording


def require_fit(
    recording: Recording, name: str, rows: int, columns: int, end: int
) -> None:
    """Refuse a recording that a format cannot hold.

    Args:
        recording: What to write.
        name: The format.
        rows: Largest number of rows of the sensor.
        columns: Largest number of columns.
        end: Times must be from 0 to below this, in microseconds.

    Raises:
        ValueError: If the sensor is larger or a time is out of range.
    """
    if recording.height > rows or recording.width > columns:
        raise ValueError(
            f"{name} holds sensors of up to {columns} x {rows} pixels, but the "
            f"recording has {recording.width} x {recording.height}; write .npz"
        )
    times = recording.events["t"]
    if len(times) and (times[0] < 0 or times[-1] >= end):
        raise ValueError(
            f"{name} holds times from 0 to {end - 1} µs, but the recording has "
            f"{times[0]} to {times[-1]}; subtract the first time, or write .npz"
        )
