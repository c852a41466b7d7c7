"""Checkpoints as safetensors files: tensors and text, no code, with a digest.

The format is that of https://github.com/huggingface/safetensors: eight bytes with the
length of a JSON header, the header, the tensors. Its ``__metadata__`` maps text to
text; this package adds ``snnssl_mm``, a checkpoint's ``meta`` as JSON, and
``snnssl_mm.sha256`` of everything else in the file, since the format itself has no
checksums. Files of others have neither and are read, too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

META, DIGEST = "snnssl_mm", "snnssl_mm.sha256"
LENGTH = 8
"""Bytes of the header's length; the header is padded to a multiple of it."""


def starts_like(start: bytes) -> bool:
    """Whether a file that starts with these bytes (at least 10) is a safetensors file.

    A file of ``torch.save`` starts otherwise, as a zip archive or a pickle.
    """
    length = int.from_bytes(start[:LENGTH], "little")
    return 2 <= length < 1 << 32 and start[LENGTH : LENGTH + 2] in (b'{"', b"{}")


def is_safetensors(file: Any) -> bool:
    """Whether a path or binary file object has the content of a safetensors file."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            return starts_like(opened.read(LENGTH + 2))
    start = file.read(LENGTH + 2)
    file.seek(0)
    return starts_like(start)


def split(content: bytes | memoryview) -> tuple[dict[str, Any], memoryview]:
    """Split a file's content into its header and its tensors' bytes.

    Raises:
        ValueError: If the header is no JSON object, or longer than the file.
    """
    view = memoryview(content)
    end = LENGTH + int.from_bytes(view[:LENGTH], "little")
    header = json.loads(bytes(view[LENGTH:end]))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, view[end:]


def digest_of(header: Mapping[str, Any], data: memoryview) -> str:
    """Compute the SHA-256 of tensors and header, without the digest in it."""
    known = {k: v for k, v in header.get("__metadata__", {}).items() if k != DIGEST}
    text = json.dumps({**header, "__metadata__": known}, sort_keys=True)
    found = hashlib.sha256(text.encode())
    found.update(data)
    return found.hexdigest()


def pack(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Make the content of a safetensors file; the same input gives the same bytes.

    Args:
        state: Tensors by name.
        meta: The checkpoint's ``meta``: what JSON can express.
    """
    from safetensors.torch import save

    # Views and shared memory are refused, and strides are not stored.
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in state.items()}
    header, data = split(save(tensors))
    known = {"format": "pt", META: json.dumps(meta, sort_keys=True)}
    header = {"__metadata__": known, **header}
    # The library writes the entries of __metadata__ in random order.
    header["__metadata__"][DIGEST] = digest_of(header, data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)
    return len(text).to_bytes(LENGTH, "little") + text + data


def read(file: str | os.PathLike[str] | BinaryIO, device: Any = None) -> dict[str, Any]:
    """Read a safetensors file as a checkpoint.

    Args:
        file: Path, or binary file object.
        device: Device of the tensors; the CPU if it is None, callable or a mapping.

    Returns:
        ``meta``, empty in files of others, and ``state_dict``.

    Raises:
        ValueError: If the file is incomplete or corrupt.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    paths = (str, os.PathLike)
    content = Path(file).read_bytes() if isinstance(file, paths) else file.read()
    try:
        state = load(content)
        header, data = split(content)
        known = header.get("__metadata__") or {}
        meta = json.loads(known.get(META, "{}"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"a damaged safetensors file ({error})") from error
    ours = META in known or DIGEST in known
    if ours and known.get(DIGEST) != digest_of(header, data):
        raise ValueError("a damaged safetensors file (its SHA-256 is wrong)")
    if isinstance(device, (str, int, torch.device)):
        state = {name: tensor.to(device) for name, tensor in state.items()}
    return {"meta": meta, "state_dict": state}
