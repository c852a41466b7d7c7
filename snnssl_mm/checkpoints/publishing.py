"""Publishing of checkpoints: weights and plain values, with the SHA-256 in the name."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from snnssl_mm.checkpoints import safetensors_files, zoo
from snnssl_mm.checkpoints.atomic_files import write_atomically
from snnssl_mm.checkpoints.loading import find_state_dict, read_checkpoint
from snnssl_mm.checkpoints.preprocessing import PUBLISHED, preprocessing
from snnssl_mm.checkpoints.stored_config import stored_config, stored_model
from snnssl_mm.version import __version__

BACKBONE = "backbone."
DIGITS = 8  # of the SHA-256, in a file's name
PLAIN = (str, int, float, bool, type(None))
"""Types of values that are stored unchanged; subclasses such as numpy's are not."""
KEPT = ("epoch", "iter", "seed", "converted_from", "source", "source_sha256")
"""Keys of ``meta`` that a published checkpoint keeps."""
Pack = Callable[[Mapping[str, Tensor], Mapping[str, Any]], bytes]


def plain(value: Any) -> Any:
    """Convert a value to dicts, lists, text and numbers; anything else to its text."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    return str(value)


def pack(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Make a checkpoint file that ``torch.load(weights_only=True)`` loads.

    Tensors are copied to the CPU, so that a view does not store its full base tensor.
    The same input gives the same bytes.
    """
    tensors = OrderedDict((k, v.detach().cpu().clone()) for k, v in state.items())
    buffer = io.BytesIO()
    torch.save({"meta": plain(meta), "state_dict": tensors}, buffer)
    return buffer.getvalue()


def pack_safetensors(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Make a checkpoint file in the format of safetensors, of the same content."""
    return safetensors_files.pack(state, plain(meta))


FORMATS: dict[str, Pack] = {"safetensors": pack_safetensors, "pth": pack}
"""Formats of published files, the default first."""


def packing(file: Path) -> Pack:
    """Return the function that makes a file's content: its suffix decides."""
    return FORMATS.get(file.suffix.removeprefix("."), pack)


def digest(content: bytes) -> str:
    """Compute the SHA-256 as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def publish(
    path: str,
    name: str,
    folder: Path,
    backbone_only: bool = False,
    kind: str = "safetensors",
) -> Path:
    """Write a checkpoint's weights as ``folder/name-<8 digits of sha256>.<kind>``.

    Training state (optimizer, hooks, logs) and paths of the machine are left out; EMA
    weights are preferred. ``meta`` holds the model's config with its SHA-256 and its
    preprocessing, so that loading can check settings that the tensors do not show; and
    the origin: seed, epoch, SHA-256 of the checkpoint, version of this package.

    Args:
        path: File or URL.
        name: Name of the model.
        folder: Output folder.
        backbone_only: Whether to keep the tensors of ``backbone.`` only.
        kind: ``'safetensors'``, or ``'pth'`` for ``torch.load``.

    Raises:
        ValueError: If the file is no checkpoint, or has no backbone.
    """
    checkpoint = read_checkpoint(path)
    state = {
        key.removeprefix("module."): tensor
        for key, tensor in find_state_dict(checkpoint).items()
        if isinstance(tensor, Tensor)
    }
    model = stored_model(checkpoint)
    if backbone_only:
        state = {k: v for k, v in state.items() if k.startswith(BACKBONE)}
        model = {"backbone": model["backbone"]} if model else None
    if not any(key.startswith(BACKBONE) for key in state):
        raise ValueError(
            f"{path} has no tensor whose name starts with {BACKBONE!r}; expected a "
            "checkpoint written by snnssl train or snnssl convert"
        )
    trained = checkpoint.get("meta") or {}
    meta = {key: trained[key] for key in KEPT if key in trained}
    meta["snnssl_mm_version"] = __version__
    file = Path(zoo.resolve(path))
    if file.is_file():
        meta.setdefault("source_sha256", digest(file.read_bytes()))
    if model:
        cfg: dict[str, Any] = {"model": model}
        if pixels := preprocessing(stored_config(checkpoint)):
            cfg[PUBLISHED] = pixels._asdict()
        meta |= config_entries(cfg)
    if not backbone_only and "dataset_meta" in trained:
        meta["dataset_meta"] = trained["dataset_meta"]
    content = FORMATS[kind](state, meta)
    out = folder / f"{name}-{digest(content)[:DIGITS]}.{kind}"
    write_atomically(out, content)
    return out


def config_entries(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Make the entries of ``meta`` for a config: its text, and the text's SHA-256."""
    text = Config(dict(cfg)).pretty_text
    return {"cfg": text, "cfg_sha256": digest(text.encode())}
