"""Files of Hugging Face's hub by address: ``hf://owner/name[@revision][/file]``.

Needs huggingface_hub, which is imported when an address is used. Its cache, log-in and
settings (``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``) apply.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.runner.checkpoint import CheckpointLoader

from snnssl_mm.checkpoints import reading

SCHEME = "hf://"
ADDRESS = re.compile(r"([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.+))?")
FORMATS = (".safetensors", ".pth", ".pt", ".bin", ".tar")
"""Suffixes of checkpoints, in the order in which they are preferred."""


class Address(NamedTuple):
    """A file on the hub.

    Attributes:
        repository: ``owner/name``.
        revision: Branch, tag or commit; the main branch if None.
        file: Path in the repository; its only checkpoint if None.
    """

    repository: str
    revision: str | None
    file: str | None


def parse(address: str) -> Address:
    """Read an address.

    Raises:
        ValueError: If it is none.

    Example:
        >>> parse("hf://someone/maxformer@v1/backbone.safetensors")
        Address(repository='someone/maxformer', revision='v1', \
file='backbone.safetensors')
    """
    found = ADDRESS.fullmatch(address.removeprefix(SCHEME))
    if not address.startswith(SCHEME) or found is None:
        raise ValueError(
            f"{address!r} is no address on the hub; expected "
            f"{SCHEME}owner/name, or {SCHEME}owner/name/file"
        )
    return Address(*found.groups())


def find_file(address: str) -> Path:
    """Return a file of the hub, downloading it if it is not in the hub's cache.

    Raises:
        ImportError: If huggingface_hub is not installed.
        OSError: If it cannot be found or downloaded.
        ValueError: If the address is none, or leaves several files to choose from.
    """
    wanted = parse(address)
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"{address} needs huggingface_hub; run `pip install huggingface_hub`, or "
            "download the file and pass its path"
        ) from error
    try:
        name = wanted.file
        if name is None:
            names = huggingface_hub.HfApi().list_repo_files(
                wanted.repository, revision=wanted.revision
            )
            name = only_checkpoint(address, names)
        return Path(
            huggingface_hub.hf_hub_download(
                wanted.repository, name, revision=wanted.revision
            )
        )
    except AmbiguousAddressError:
        raise
    except Exception as error:  # of requests, httpx or the library, by its version
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OSError(
            f"cannot get {address}: {cause}; check the name, that the repository is "
            "public or you are logged in (hf auth login), and the network"
        ) from error


class AmbiguousAddressError(ValueError):
    """A repository without a checkpoint, or with several; the message lists files."""


def only_checkpoint(address: str, names: list[str]) -> str:
    """Choose the only checkpoint of a repository, in the preferred format.

    Raises:
        AmbiguousAddressError: If there is none, or several in the same format.
    """
    for suffix in FORMATS:
        found = [name for name in names if name.endswith(suffix)]
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousAddressError(
                f"{address} has several checkpoints; write {address}/FILE with one "
                f"of: {', '.join(found)}"
            )
    raise AmbiguousAddressError(
        f"{address} has no checkpoint, only: {', '.join(names) or 'nothing'}"
    )


@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
def load_from_hub(filename: str, map_location: Any = None) -> Any:
    """Load ``hf://owner/name[/file]`` for mmengine."""
    return reading.load(find_file(filename), map_location)
