"""Official weights: where the authors of spiking backbones publish them.

``official.yml`` lists them. ``snnssl zoo get NAME`` converts a file (see
:mod:`snnssl_mm.conversion.official`) and keeps the result in the cache, where every
command finds it by its name.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import yaml

from snnssl_mm.checkpoints.downloads import cache_folder, download
from snnssl_mm.checkpoints.preprocessing import Preprocessing

LIST = Path(__file__).with_name("official.yml")
IMAGENET = Preprocessing((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "rgb")
"""What all of them were trained with."""
DATA = "ImageNet-1K"


class Official(NamedTuple):
    """Official weights of a backbone.

    Attributes:
        name: Name in the zoo.
        source: Project that publishes them, ``owner/name`` on GitHub.
        repository: Address of the project.
        paper: Address of its paper.
        license: SPDX name of the project's licence, or None if it states none.
        family: Name of our backbone class.
        layouts: Layouts that the file may have, see :mod:`snnssl_mm.conversion`.
        time_steps: T of the training.
        settings: Settings that the converted backbone must have.
        url: Address of the file, or None if a person must download it.
        page: Page on which a person downloads it, or None.
        file: What to choose on that page, or None if there is one file only.
        top1: Top-1 accuracy in % that the authors report, or None.
        top1_from: Where they report it.
        sha256: SHA-256 of the file, or None if it is not known.
    """

    name: str
    source: str
    repository: str
    paper: str
    license: str | None
    family: str
    layouts: list[str]
    time_steps: int
    settings: Mapping[str, Any]
    url: str | None = None
    page: str | None = None
    file: str | None = None
    top1: float | None = None
    top1_from: str | None = None
    sha256: str | None = None

    @property
    def converted(self) -> Path:
        """File in the cache with the converted backbone, once there is one."""
        return cache_folder() / f"{self.name}.safetensors"

    @property
    def downloaded(self) -> Path:
        """File in the cache with the download from ``url``."""
        name = Path(urlparse(self.url or "").path).name
        return cache_folder() / "official" / self.source.replace("/", "_") / name


@functools.cache
def entries() -> dict[str, Official]:
    """Return all official weights by name."""
    found = {}
    for source in yaml.safe_load(LIST.read_text()):
        models = source.pop("models")
        for model in models:
            entry = Official(**{**source, **model})
            found[entry.name] = entry
    return found


def fetch(entry: Official) -> Path:
    """Return the authors' file from the cache, or download it.

    Raises:
        FileNotFoundError: If it has no address, says where to click; or if the
            download fails.
        ValueError: If the download is incomplete, a web page or another file.
    """
    if entry.url is None:
        raise FileNotFoundError(by_hand(entry))
    file = entry.downloaded
    if file.is_file():
        return file
    try:
        return download(entry.url, file, entry.sha256)
    except OSError as error:
        raise FileNotFoundError(
            f"cannot download {entry.url}: {error}; download it with another program, "
            f"then run snnssl zoo get {entry.name} --file FILE"
        ) from error


def by_hand(entry: Official) -> str:
    """Say how a person gets a file that no program can download."""
    what = f" ({entry.file})" if entry.file else ""
    return (
        f"the weights of {entry.name} cannot be downloaded by a program: open "
        f"{entry.page} in a browser, download the file{what}, then run "
        f"snnssl zoo get {entry.name} --file FILE"
    )


def find_converted(entry: Official) -> Path:
    """Return the converted backbone in the cache.

    Raises:
        FileNotFoundError: If it is not there yet.
    """
    if not entry.converted.is_file():
        raise FileNotFoundError(
            f"{entry.name} is not in {cache_folder()} yet; run "
            f"snnssl zoo get {entry.name}"
        )
    return entry.converted
