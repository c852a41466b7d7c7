"""Atomic generation of folders of images or recordings."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

META_FILE = "meta.json"
SPLITS = ("train", "test")


def generate_once(
    root: str | Path,
    what: str,
    parameters: Mapping[str, Any],
    write: Callable[[Path], Mapping[str, Any]],
) -> Path:
    """Generate a folder by ``write``, unless it exists with the same parameters.

    The content is written to a temporary folder that is then renamed, so an
    interruption leaves no incomplete folder, and several processes may call this at
    once. ``meta.json`` in the folder records the parameters and the result of
    ``write``.

    Args:
        root: Folder to write.
        what: Name of the content for messages, such as ``'digit scenes'``.
        parameters: Parameters that determine the content; those of an existing folder
            must be equal.
        write: Fills the given folder; returns more entries for ``meta.json``.

    Returns:
        pathlib.Path: ``root``, absolute.

    Raises:
        FileExistsError: If ``root`` has other parameters, or was not generated.
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
        except OSError:  # another process was faster, or root has other content
            if not _is_complete(root, what, parameters):
                raise
    return root


def generate_splits(
    root: str | Path,
    what: str,
    version: int,
    write_split: Callable[[Path, str, int], Any],
    *,
    size: int,
    num_train: int,
    num_test: int,
    seed: int,
    entry: str,
) -> Path:
    """Generate both splits of an embedded dataset by :func:`generate_once`.

    Args:
        root: Folder to write.
        what: Name of the content for messages.
        version: Version of the generator.
        write_split: Writes one split into the whole's folder, given its name and its
            number of samples.
        size: Side of a sample in pixels.
        num_train: Number of training samples.
        num_test: Number of test samples.
        seed: Seed of the generation.
        entry: Entry of ``meta.json`` for what ``write_split`` returns, by split.

    Returns:
        pathlib.Path: ``root``, absolute.

    Raises:
        FileExistsError: If ``root`` has other parameters, or was not generated.
    """
    parameters = {"generator_version": version, "size": size}
    parameters |= {"num_train": num_train, "num_test": num_test, "seed": seed}
    counts = dict(zip(SPLITS, (num_train, num_test), strict=True))

    def write(folder: Path) -> dict[str, Any]:
        written = {split: write_split(folder, split, n) for split, n in counts.items()}
        return {entry: written}

    return generate_once(root, what, parameters, write)


def read_meta(root: Path) -> dict[str, Any]:
    """Read the parameters and other entries of a generated folder."""
    return json.loads((root / META_FILE).read_text())


def _is_complete(root: Path, what: str, parameters: Mapping[str, Any]) -> bool:
    """Tell whether ``root`` has the requested content; raise if it has another."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    remedy = "set data_root to another folder or remove this one"
    if not (root / META_FILE).is_file():
        raise FileExistsError(f"{root} exists but contains no {what}; {remedy}")
    found = read_meta(root)
    differing = [
        f"{key}={found.get(key)} (requested: {value})"
        for key, value in parameters.items()
        if found.get(key) != value
    ]
    if differing:
        raise FileExistsError(
            f"{root} contains {what} with {', '.join(differing)}; {remedy}"
        )
    return True
