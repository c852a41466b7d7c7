"""Cache of decoded recordings on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnssl_mm.checkpoints.atomic_files import open_atomically, write_atomically
from snnssl_mm.datasets.events.recording import EVENT, Recording

DECODING = 1
"""Version of the decoders; entries of an earlier one are not used."""
SUFFIXES = (".npy", ".json")
"""Suffixes of the two files of an entry."""


class RecordingCache:
    """Folder of decoded recordings, which are mapped into memory when they are used.

    An entry is two files: ``<name>-<key>.npy`` with the events, and, written last,
    ``<name>-<key>.json`` with the rest. Each is complete or absent, so a killed process
    leaves no half entry, and several processes may share the folder. The key covers the
    recording's path, size and time of change, and the settings it was read with.
    Entries of changed files remain until the folder is deleted, which is always safe.

    Args:
        folder: The folder; it need not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    def get(
        self,
        path: str | Path,
        settings: Mapping[str, Any],
        read: Callable[[], Recording],
    ) -> Recording:
        """Return the cached recording, or read and keep it.

        Args:
            path: File of the recording.
            settings: What else determines the result, as JSON can hold it.
            read: Reads the recording.

        Raises:
            OSError: If the cache cannot be written.
        """
        try:
            name = self.name(Path(path), settings)
        except FileNotFoundError:
            return read()  # raises an error that says what was expected
        events_file, rest_file = (self.folder / f"{name}{end}" for end in SUFFIXES)
        found = self.load(events_file, rest_file)
        if found is None:
            recording = read()
            with open_atomically(events_file) as stream:
                np.save(stream, np.ascontiguousarray(recording.events))
            rest = {
                "source": str(path),
                "height": recording.height,
                "width": recording.width,
                "repairs": dict(recording.repairs),
            }
            write_atomically(rest_file, json.dumps(rest).encode())
            found = self.load(events_file, rest_file) or recording
        return found

    @staticmethod
    def name(path: Path, settings: Mapping[str, Any]) -> str:
        """Return the name of an entry, without suffix.

        Raises:
            FileNotFoundError: If there is no such recording.
        """
        stat = path.stat()
        source = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, DECODING]
        text = json.dumps([source, dict(settings)], sort_keys=True)
        return f"{path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    @staticmethod
    def load(events_file: Path, rest_file: Path) -> Recording | None:
        """Map an entry; None if there is none, or something else damaged it."""
        try:
            rest = json.loads(rest_file.read_bytes())
            events = np.lib.format.open_memmap(events_file, mode="r")
            if events.dtype != EVENT:
                return None
            events = events.view(np.ndarray)
            return Recording(events, rest["height"], rest["width"], rest["repairs"])
        except (OSError, ValueError, KeyError):
            return None
