"""Model zoo: names, configs and weights; local weights are used first.

``model-index.yml`` lists the ``metafile.yml`` of each folder of configs. An entry with
weights has ``Weights: snnssl_mm://NAME``, an address that mmengine can load
(``init_cfg``, ``load_from``, ``get_model``), the file's name, its SHA-256 and, if it is
published, its URL. The file is searched in the package, then in the cache, then
downloaded; a file with another SHA-256 is refused. Official weights of others, see
:mod:`.official`, have names, too, and no config.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mmengine.runner.checkpoint import CheckpointLoader

from snnssl_mm.checkpoints import hub, official, reading
from snnssl_mm.checkpoints.downloads import cache_folder, download
from snnssl_mm.checkpoints.read_once import file_identity

SCHEME = "snnssl_mm://"
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = PACKAGE / "weights"
CHECKPOINTS = ("*.pth", "*.safetensors")


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


def is_name(name: str) -> bool:
    """Whether a text is the name of a model, with or without weights."""
    return name in entries() or name in official.entries()


def is_remote(path: str) -> bool:
    """Whether a path is an address that :func:`resolve` does not make a file of."""
    return "://" in path and not path.startswith((SCHEME, hub.SCHEME))


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
    if name in official.entries():
        return official.find_converted(official.entries()[name])
    entry = entries().get(name)
    if entry is None or entry.file is None or entry.sha256 is None:
        what = "is no model of the zoo" if entry is None else "has no weights yet"
        near = closest_names(name)
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
    try:
        return download(entry.url, cached, entry.sha256)
    except OSError as error:
        raise FileNotFoundError(
            f"cannot download the weights of {entry.name!r} from {entry.url}: {error}; "
            f"put {entry.file} into {cached.parent} manually"
        ) from error


def closest_names(name: str) -> list[str]:
    """Return the model whose name is most similar, or nothing."""
    known = [*names_with_weights(), *official.entries()]
    return difflib.get_close_matches(name, known, 1)


def is_intact(file: Path, sha256: str) -> bool:
    """Whether a file has this SHA-256; the same content is read only once."""
    return digest(file, file_identity(file)) == sha256


@functools.lru_cache(8)
def digest(file: Path, _identity: Any) -> str:
    """Compute a file's SHA-256."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def resolve(path: str | Path) -> str:
    """Resolve the name or address of a model to its file; expand ``~`` in a path.

    Addresses are those of the zoo and of :mod:`.hub`. An existing file takes precedence
    over a zoo model of the same name.
    """
    path = str(path)
    if path.startswith(hub.SCHEME):
        return str(hub.find_file(path))
    if path.startswith(SCHEME) or (is_name(path) and not Path(path).is_file()):
        return str(find_weights(path))
    return os.path.expanduser(path)


def does_not_exist(path: str) -> str:
    """Say that a file does not exist, and suggest a file or model of a similar name."""
    path = os.path.expanduser(path)
    folder, name = Path(path).parent, Path(path).name
    if Path(path).is_dir():
        files = [f for kind in CHECKPOINTS for f in Path(path).glob(kind)]
        newest = max(files, key=os.path.getmtime, default=None)
        meant = f"is {newest} meant?" if newest else "name the file"
        return f"{path} is a folder, expected a checkpoint; {meant}"
    near = closest_names(path)
    if not near and folder.is_dir():
        names = [f.name for f in folder.iterdir() if f.suffix == Path(name).suffix]
        near = [
            str(folder / one) for one in difflib.get_close_matches(name, names, 1, 0.8)
        ]
    meant = f"is {near[0]} meant?" if near else "check the path"
    return f"{path} does not exist, and is no model of the zoo; {meant}"


@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
def load_from_zoo(filename: str, map_location: Any = None) -> Any:
    """Load ``snnssl_mm://NAME`` for mmengine."""
    return reading.load(find_weights(filename), map_location)
