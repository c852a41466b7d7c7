"""Whether output files and folders can be written, before any work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path


def require_writable(
    *places: Path | None, folder: bool = False, option: str = "--out"
) -> None:
    """Refuse outputs that cannot be written; create nothing.

    Args:
        *places: Files, or folders; None stands for an output that nobody asked for.
        folder: Whether they are folders.
        option: How the user chooses their place.

    Raises:
        OSError: Names the first place that cannot be written, and the reason.
    """
    for place in filter(None, places):
        if reason := obstacle(place.absolute(), folder):
            raise OSError(f"cannot write {place}: {reason}; choose another by {option}")


def obstacle(place: Path, folder: bool) -> str | None:
    """Say why an absolute path cannot be written; None if it can."""
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
