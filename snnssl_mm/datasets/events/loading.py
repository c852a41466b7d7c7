"""Transform that loads a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files.files import read_events
from snnssl_mm.datasets.events.cache import RecordingCache
from snnssl_mm.datasets.events.recording import Recording
from snnssl_mm.registry import TRANSFORMS

READ_ARGS = ("format", "height", "width", "clean", "transpose")
"""Settings of :func:`snnssl_mm.datasets.read_events`."""


def read_part(
    path: str | Path, time_range: tuple[int, int] | None = None, **settings: Any
) -> Recording:
    """Read a recording, or the part of it between two times.

    Args:
        path: The file.
        time_range: First time and end (not included) in microseconds; None for all.
        **settings: Arguments of :func:`snnssl_mm.datasets.read_events`.

    Raises:
        DataError: If it cannot be read, or the part has no events.
    """
    recording = read_events(path, **settings)
    if time_range is None:
        return recording
    times = recording.events["t"]
    first, end = np.searchsorted(times, time_range)
    if first == end:
        raise DataError(
            f"{path} has no events from {time_range[0]} to {time_range[1]} µs, only "
            f"from {times[0]} to {times[-1]}; its labels are of another recording"
        )
    return recording.replace_events(np.array(recording.events[first:end]))


@TRANSFORMS.register_module()
class LoadEvents(BaseTransform):
    """Load a recording of an event camera.

    Requires ``recording_path``, or ``img_path`` as the datasets of mmdet and mmseg name
    it, and takes ``time_range`` and ``read_args`` (settings of
    :func:`snnssl_mm.datasets.read_events`) as :class:`EventFolder` gives them. Adds
    ``recording``, a :class:`~snnssl_mm.datasets.Recording`. One that is there already,
    in memory, remains.

    Args:
        height: Rows of the sensor, like the following three a setting of
            :func:`snnssl_mm.datasets.read_events` that overrides the dataset's. None
            leaves the dataset's.
        width: Columns of the sensor.
        format: Format of the files.
        clean: Whether to repair damage.
        cache_dir: Folder for decoded recordings, written when they are read first and
            then mapped into memory, see
            :class:`snnssl_mm.datasets.events.cache.RecordingCache`. Worth its disk
            space (13 bytes per event) where a sample is a part of a long recording, or
            where decoding is slow. None reads the files.

    Raises:
        DataError: If the recording is damaged, or the sensor's size is not known.
    """

    def __init__(
        self,
        height: int | None = None,
        width: int | None = None,
        format: str | None = None,
        clean: bool | None = None,
        cache_dir: str | None = None,
    ) -> None:
        given = dict(height=height, width=width, format=format, clean=clean)
        self.read_args = {k: v for k, v in given.items() if v is not None}
        self.cache = RecordingCache(cache_dir) if cache_dir else None

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``results`` with the recording."""
        if isinstance(results.get("recording"), Recording):
            return results
        settings: Mapping[str, Any] = {
            **results.get("read_args", {}),
            **self.read_args,
            "time_range": results.get("time_range"),
        }
        path = results.get("recording_path") or results["img_path"]
        if self.cache is None:
            results["recording"] = read_part(path, **settings)
        else:
            results["recording"] = self.cache.get(
                path, settings, lambda: read_part(path, **settings)
            )
        return results
