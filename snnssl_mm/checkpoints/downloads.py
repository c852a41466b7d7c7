"""Downloads into a cache: complete and verified, or absent."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log

from snnssl_mm.checkpoints.atomic_files import open_atomically
from snnssl_mm.checkpoints.reading import foreign_start, load

STALE_SECONDS = 3600.0
"""Age after which an unfinished download counts as abandoned."""
CHUNK = 1 << 20
TIMEOUT = 60.0
"""Seconds without an answer after which a download fails."""
AGENT = {"User-Agent": "snnssl_mm"}


def cache_folder() -> Path:
    """Return ``$SNNSSL_MM_ZOO``, else ``snnssl_mm`` in the user's XDG cache folder."""
    if chosen := os.environ.get("SNNSSL_MM_ZOO"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "snnssl_mm"


def download(url: str, file: Path, sha256: str | None = None) -> Path:
    """Download a file atomically.

    Args:
        url: Its address.
        file: File to write; partial files that killed downloads of it left are removed.
        sha256: Its SHA-256, if it is known.

    Raises:
        OSError: If it cannot be downloaded.
        ValueError: If what comes is shorter than announced, a web page, or has another
            SHA-256; nothing is written.
    """
    remove_stale_downloads(file)
    request = urllib.request.Request(url, headers=AGENT)
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT) as response,
        open_atomically(file) as written,
    ):
        copy_with_progress(response, written, file.name)
        announced = response.headers.get("Content-Length")
        found = written.tell()
        if announced is not None and found != int(announced):
            raise ValueError(
                f"{url} ended after {found} of {announced} bytes; nothing was saved, "
                "try again"
            )
        written.flush()
        require_content(Path(written.name), url, sha256)
    return file


def copy_with_progress(response: Any, written: Any, name: str) -> None:
    """Copy a response to a file; show a bar if the terminal is one."""
    if not sys.stderr.isatty():
        shutil.copyfileobj(response, written, CHUNK)
        return
    from rich.console import Console
    from rich.progress import wrap_file

    total = int(response.headers.get("Content-Length") or 0)
    console = Console(stderr=True)
    with wrap_file(response, total, description=name, console=console) as shown:
        shutil.copyfileobj(shown, written, CHUNK)


def require_content(file: Path, url: str, sha256: str | None) -> None:
    """Require a download to be what was asked for.

    Raises:
        ValueError: If it is a web page or a pointer, or has another SHA-256.
    """
    with file.open("rb") as content:
        if sha256 and hashlib.file_digest(content, "sha256").hexdigest() != sha256:
            raise ValueError(
                f"{url} is truncated or was replaced: its SHA-256 is not {sha256}; "
                "nothing was saved, try again"
            )
        content.seek(0)
        if what := foreign_start(content.read(64)):
            raise ValueError(f"{url} gives {what}; nothing was saved")


def remove_stale_downloads(file: Path) -> None:
    """Remove the partial files of killed downloads of a file."""
    for part in file.parent.glob(f".{file.name}.*.part"):
        if time.time() - part.stat().st_mtime > STALE_SECONDS:
            part.unlink(missing_ok=True)


def cached_name(url: str) -> str:
    """Name the file of a URL in the download cache.

    Example:
        >>> cached_name("https://a.org/resnet50-11ad3fa6.pth")
        'resnet50-11ad3fa6.pth'
        >>> cached_name("https://a.org/b/epoch_10.pth")
        'epoch_10-urla5fe7df9.pth'
    """
    name = Path(urlparse(url).path)
    if re.search(r"[-_][0-9a-f]{8,}\.", name.name):
        return name.name
    return f"{name.stem}-url{hashlib.sha256(url.encode()).hexdigest()[:8]}{name.suffix}"


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
) -> Any:
    """Read a ``torch.save`` file from a URL, or from torch's download cache.

    A name with a part of the file's SHA-256, such as ``resnet50-11ad3fa6.pth``, is that
    of the cached file. Others, such as ``epoch_10.pth``, are those of many files, so
    that a digest of the URL is added.

    Args:
        url: Its address.
        model_dir: The cache; by default ``checkpoints`` in torch's folder.
        map_location: As for ``torch.load``.
        progress: Whether to show a progress bar for the download.

    Raises:
        OSError: If it cannot be downloaded.
        UnsafeCheckpointError: If it would execute code.
        ValueError: If it is corrupt or not a checkpoint.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir(), "checkpoints"))
    file = folder / cached_name(url)
    if file.exists():
        print_log(f"{url} was downloaded before, as {file}", "current")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=progress)
        except OSError as error:
            raise OSError(
                f"cannot download {url}: {error}; download it manually and pass the "
                "file instead"
            ) from error
    return load(str(file), map_location)
