"""Conversion of official weights: verified to be those of an entry, and to load.

Their classifier is kept, so that the file evaluates as the authors' does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.checkpoints.loading import (
    find_state_dict,
    load_backbone,
    read_checkpoint,
)
from snnssl_mm.checkpoints.official import IMAGENET, Official, entries, fetch
from snnssl_mm.checkpoints.preprocessing import PUBLISHED
from snnssl_mm.checkpoints.publishing import BACKBONE, config_entries, packing
from snnssl_mm.checkpoints.stored_config import stored_backbone
from snnssl_mm.conversion.convert import Conversion, convert
from snnssl_mm.conversion.model_config import model_config, model_tensors
from snnssl_mm.conversion.structure import build


def get(entry: Official, given: Path | None = None) -> tuple[Path, Conversion]:
    """Download official weights, convert them, and keep them in the cache.

    Args:
        entry: The weights.
        given: The authors' file, if the user has downloaded it.

    Returns:
        The file in the cache, and what was converted.

    Raises:
        FileNotFoundError: If the file is missing, or must be downloaded by a person.
        ValueError: If it is not the entry's file; a wrong download is removed.
    """
    theirs = given or fetch(entry)
    try:
        require_digest(entry, theirs)
        conversion = convert_file(entry, theirs)
    except ValueError:
        if given is None:
            theirs.unlink(missing_ok=True)
        raise
    write(entry, conversion, entry.converted, theirs)
    return entry.converted, conversion


def require_digest(entry: Official, file: Path) -> None:
    """Require a file to have the entry's SHA-256, if that is known.

    Raises:
        ValueError: If it has another one.
    """
    if entry.sha256 and sha256(file) != entry.sha256:
        raise ValueError(
            f"{file} is not the file of {entry.name}, or is incomplete: its SHA-256 is "
            f"not {entry.sha256}; download it again"
        )


def sha256(file: Path) -> str:
    """Compute a file's SHA-256."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def convert_file(entry: Official, file: Path) -> Conversion:
    """Convert the authors' file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, incomplete, or of another network.
    """
    checkpoint = read_checkpoint(file)
    try:
        found = convert(
            find_state_dict(checkpoint),
            stored=stored_backbone(checkpoint),
            keep_head=None,
        )
    except ValueError as error:
        raise ValueError(f"{file} is not the file of {entry.name}: {error}") from error
    if found.source not in entry.layouts or not has(found.settings, entry.settings):
        raise ValueError(other_network(entry, file, found))
    return found


def has(settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a converted backbone has an entry's settings."""
    return all(settings.get(name) == value for name, value in wanted.items())


def other_network(entry: Official, file: Path, found: Conversion) -> str:
    """Say which network a file has, and which entries are of that network."""
    sizes = {name: found.settings.get(name) for name in entry.settings}
    fitting = [
        other.name
        for other in entries().values()
        if found.source in other.layouts and has(found.settings, other.settings)
    ]
    meant = f"; it fits {' and '.join(fitting)}" if fitting else ""
    return (
        f"{file} is not the file of {entry.name}: expected a {entry.family} with "
        f"{dict(entry.settings)} in the layout {entry.layouts[0]}, found a "
        f"{found.family} with {sizes} in the layout {found.source}{meant}"
    )


def config(entry: Official, conversion: Conversion) -> dict[str, Any]:
    """Make the config of the converted model."""
    settings = {**conversion.settings, "time_steps": entry.time_steps}
    return model_config(conversion._replace(settings=settings))


def write(entry: Official, conversion: Conversion, out: Path, theirs: Path) -> None:
    """Write a converted model, read it again and load its backbone strictly.

    Args:
        entry: The weights.
        conversion: The converted backbone, and its classifier.
        out: File to write; its suffix chooses the format.
        theirs: The authors' file.

    Raises:
        ValueError: If the backbone does not load; nothing is left.
    """
    network = build(conversion.family, conversion.settings)
    network.load_state_dict(conversion.state)  # before anything is written
    cfg = {"model": config(entry, conversion), PUBLISHED: IMAGENET._asdict()}
    meta = {
        "converted_from": conversion.source,
        "source": entry.url or entry.page or entry.repository,
        "source_sha256": sha256(theirs),
        "license": entry.license or "none stated",
        **config_entries(cfg),
    }
    tensors = model_tensors(conversion)
    write_atomically(out, packing(out)(tensors, meta))
    try:
        for tensor in network.state_dict().values():
            tensor.zero_()
        load_backbone(network, out)
        loaded = {f"{BACKBONE}{name}": t for name, t in network.state_dict().items()}
        loaded = {**find_state_dict(read_checkpoint(out)), **loaded}
        if not all(torch.equal(loaded[name], t) for name, t in tensors.items()):
            raise ValueError(f"{out} was not written correctly; is the disk damaged?")
    except ValueError:
        out.unlink(missing_ok=True)
        raise
