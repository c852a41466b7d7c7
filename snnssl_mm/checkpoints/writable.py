"""Check before any work is done that output files and folders can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path


def require_writable(
    *places: Path | None, folder: bool = False, option: str = "--out"
) -> None:
    """Require that outputs can be written; create nothing.

    Args:
        *places: Files, or folders; None for an output that is not requested.
        folder: Whether they are folders.
        option: Option by which the user chooses them.

    Raises:
        OSError: Names the first path that cannot be written, and the reason.
    """
    for place in filter(None, places):
        if reason := obstacle(place.absolute(), folder):
            raise OSError(
                f"cannot write {place}: {reason}; choose another path by {option}"
            )


def obstacle(place: Path, folder: bool) -> str | None:
    """Return why an absolute path cannot be written; None if it can."""
    try:
        near = next(path for path in (place, *place.parents) if path.exists())
        if near == place and near.is_dir() != folder:
            return "it is a file" if folder else "it is a folder"
        if near != place and not near.is_dir():
            return f"{near} is a file"
        with tempfile.TemporaryFile(dir=near if near.is_dir() else near.parent):
            return None
    except OSError as error:
        return error.strerror or str(error)
