"""Folders of generated images that are complete or not there at all."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

META_FILE = "meta.json"


def generate_once(
    root: str | Path,
    what: str,
    parameters: Mapping[str, Any],
    write: Callable[[Path], Mapping[str, Any]],
) -> Path:
    """Let ``write`` fill a folder, unless it holds just that already.

    The folder is written beside its place and then renamed, so an interruption leaves
    nothing behind that looks complete, and several processes may call this at once.
    ``meta.json`` in it keeps the parameters and what ``write`` returns.

    Args:
        root: Folder to write.
        what: What it holds, for messages: ``'digit scenes'``.
        parameters: What decides the content; an existing folder must have the same.
        write: Fills the folder that it is given; returns more to keep in
            ``meta.json``.

    Returns:
        pathlib.Path: ``root``, absolute.

    Raises:
        FileExistsError: If ``root`` holds something else, or other parameters.
    """
    root = Path(root).expanduser().resolve()
    if _is_complete(root, what, parameters):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as tmp:
        folder = Path(tmp, "content")
        folder.mkdir()
        meta = json.dumps({**parameters, **write(folder)}, indent=2)
        (folder / META_FILE).write_text(meta + "\n")
        try:
            folder.rename(root)
        except OSError:  # another process was faster, or something else lies there
            if not _is_complete(root, what, parameters):
                raise
    return root


def read_meta(root: Path) -> dict[str, Any]:
    """Parameters and other facts of a generated folder."""
    return json.loads((root / META_FILE).read_text())


def _is_complete(root: Path, what: str, parameters: Mapping[str, Any]) -> bool:
    """Say whether ``root`` holds what is asked for; raise if it holds others."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    remedy = "set data_root to another folder or remove this one"
    if not (root / META_FILE).is_file():
        raise FileExistsError(f"{root} exists but holds no {what}: {remedy}")
    found = read_meta(root)
    differing = [
        f"{key}={found.get(key)} (asked for {value})"
        for key, value in parameters.items()
        if found.get(key) != value
    ]
    if differing:
        raise FileExistsError(
            f"{root} holds {what} with {', '.join(differing)}: {remedy}"
        )
    return True
