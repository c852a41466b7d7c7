"""Model zoo: names, configs and weights; local weights are used first.

``model-index.yml`` lists the ``metafile.yml`` of each folder of configs. An entry with
weights has ``Weights: snnssl_mm://NAME``, an address that mmengine can load
(``init_cfg``, ``load_from``, ``get_model``), the file's name, its SHA-256 and, if it is
published, its URL. The file is searched in the package, then in the cache, then
downloaded; a file with another SHA-256 is refused.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from mmengine.runner.checkpoint import CheckpointLoader

from snnssl_mm.checkpoints import reading
from snnssl_mm.checkpoints.read_once import file_identity

SCHEME = "snnssl_mm://"
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = PACKAGE / "weights"
STALE_SECONDS = 3600.0
"""Age after which an unfinished download counts as abandoned."""


class Entry(NamedTuple):
    """A model of the zoo.

    Attributes:
        name: Name of the model.
        config: Its config file.
        file: Name of its weights' file, or None without weights.
        sha256: SHA-256 of that file.
        url: URL of that file, or None.
        meta: The complete entry of the metafile.
    """

    name: str
    config: Path
    file: str | None
    sha256: str | None
    url: str | None
    meta: Mapping[str, Any]


def index_file() -> Path:
    """Return ``model-index.yml``: the installed one, else the source tree's."""
    installed = PACKAGE / ".mim" / "model-index.yml"
    return installed if installed.exists() else PACKAGE.parent / "model-index.yml"


@functools.cache
def entries() -> dict[str, Entry]:
    """Return all models by name."""
    index = index_file()
    found = {}
    for metafile in yaml.safe_load(index.read_text())["Import"]:
        for model in yaml.safe_load((index.parent / metafile).read_text())["Models"]:
            found[model["Name"]] = Entry(
                model["Name"],
                index.parent / model["Config"],
                model.get("Weights File"),
                model.get("SHA256"),
                model.get("Weights URL"),
                model,
            )
    return found


def names_with_weights() -> list[str]:
    """List the names of the models that have weights."""
    return sorted(name for name, entry in entries().items() if entry.file)


def cache_folder() -> Path:
    """Return ``$SNNSSL_MM_ZOO``, else ``snnssl_mm`` in the user's XDG cache folder."""
    if chosen := os.environ.get("SNNSSL_MM_ZOO"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "snnssl_mm"


def find_weights(name: str) -> Path:
    """Find the weights of a model, downloading them if need be.

    Args:
        name: Name of the model, with or without ``snnssl_mm://``.

    Raises:
        ValueError: If there is no such model, it has no weights, or a file has another
            SHA-256 than the entry; such a file is removed from the cache.
        FileNotFoundError: If the file is not found and cannot be downloaded.
    """
    name = name.removeprefix(SCHEME)
    entry = entries().get(name)
    if entry is None or entry.file is None or entry.sha256 is None:
        what = "is no model of the zoo" if entry is None else "has no weights yet"
        near = difflib.get_close_matches(name, names_with_weights(), 1)
        meant = f", is {near[0]!r} meant?" if near and entry is None else ""
        raise ValueError(
            f"{name!r} {what}{meant}; with weights: {names_with_weights()}"
        )
    shipped, cached = SHIPPED / entry.file, cache_folder() / entry.file
    if shipped.is_file():
        if not is_intact(shipped, entry.sha256):
            raise ValueError(
                f"{shipped} is damaged (its SHA-256 is not that of the zoo's entry); "
                "reinstall snnssl_mm"
            )
        return shipped
    remove_stale_downloads(cached)
    if cached.is_file():
        if is_intact(cached, entry.sha256):
            return cached
        cached.unlink(missing_ok=True)
        if entry.url is None:
            raise ValueError(
                f"{cached} was not the file of {name!r} (its SHA-256 is not that of "
                "the zoo's entry) and was removed; copy the correct file there"
            )
    if entry.url is None:
        raise FileNotFoundError(
            f"the weights of {name!r} have no URL; put {entry.file} into "
            f"{cache_folder()}, or set SNNSSL_MM_ZOO to the folder that has it"
        )
    return download(entry, entry.url, cached)


def is_intact(file: Path, sha256: str) -> bool:
    """Whether a file has this SHA-256; the same content is read only once."""
    return digest(file, file_identity(file)) == sha256


@functools.lru_cache(8)
def digest(file: Path, _identity: Any) -> str:
    """Compute a file's SHA-256."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def remove_stale_downloads(file: Path) -> None:
    """Remove the partial files of killed downloads."""
    for part in file.parent.glob(f"{file.name}.*.partial"):
        if time.time() - part.stat().st_mtime > STALE_SECONDS:
            part.unlink(missing_ok=True)


def download(entry: Entry, url: str, file: Path) -> Path:
    """Download weights atomically; a file with another SHA-256 is refused."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), entry.sha256, progress=False)
    except RuntimeError as error:  # what torch raises for another SHA-256
        raise ValueError(
            f"{url} is not the file of {entry.name!r}: truncated or replaced (its "
            "SHA-256 is not that of the zoo's entry); nothing was saved, try again"
        ) from error
    except OSError as error:
        raise FileNotFoundError(
            f"cannot download the weights of {entry.name!r} from {url}: {error}; put "
            f"{entry.file} into {file.parent} manually"
        ) from error
    return file


def resolve(path: str | Path) -> str:
    """Resolve a zoo model's name or address to its file; expand ``~`` in a path.

    An existing file takes precedence over a zoo model of the same name.
    """
    path = str(path)
    if path.startswith(SCHEME) or (path in entries() and not Path(path).is_file()):
        return str(find_weights(path))
    return os.path.expanduser(path)


def does_not_exist(path: str) -> str:
    """Say that a file does not exist, and suggest a file or model of a similar name."""
    path = os.path.expanduser(path)
    folder, name = Path(path).parent, Path(path).name
    if Path(path).is_dir():
        newest = max(Path(path).glob("*.pth"), key=os.path.getmtime, default=None)
        meant = f"is {newest} meant?" if newest else "name the file"
        return f"{path} is a folder, expected a checkpoint; {meant}"
    near = difflib.get_close_matches(path, names_with_weights(), 1)
    if not near and folder.is_dir():
        files = [f.name for f in folder.iterdir() if f.suffix == Path(name).suffix]
        near = [
            str(folder / one) for one in difflib.get_close_matches(name, files, 1, 0.8)
        ]
    meant = f"is {near[0]} meant?" if near else "check the path"
    return f"{path} does not exist, and is no model of the zoo; {meant}"


@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
def load_from_zoo(filename: str, map_location: Any = None) -> Any:
    """Load ``snnssl_mm://NAME`` for mmengine."""
    return reading.load(find_weights(filename), map_location)
