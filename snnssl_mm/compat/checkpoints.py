"""Checkpoints: safe to read, atomic on the disk; recomputation that trains."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from snnssl_mm.compat.status import Status, module_of


def activation_checkpointing() -> Status:
    """``activation_checkpointing=['backbone']`` trains nothing in the backbone.

    Cause: mmengine calls torch's re-entrant checkpoint (its default), which gives
    gradients only if an input requires one; images do not (mmengine issue 1425).
    Torch's warning about it is easily missed.
    Removable: when mmengine's ``wrap_forward`` passes ``use_reentrant=False``; in
    onedl-mmengine 0.10.12 it does not.
    """
    module = module_of("mmengine.runner.activation_checkpointing")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    if not isinstance(module.checkpoint, functools.partial):
        module.checkpoint = functools.partial(module.checkpoint, use_reentrant=False)
    return Status("cured", "checkpoints are not re-entrant")


def atomic_writes() -> Status:
    """A kill or a full disk during a write: ``resume=True`` reads half a checkpoint.

    Cause: mmengine writes over files in place, and ``resume=True`` believes the file
    ``last_checkpoint`` whatever it names. Here local files are written atomically, and
    resuming looks for the last intact checkpoint. The order in which checkpoints are
    saved and removed is that of the hook, see :class:`snnssl_mm.engine.
    AtomicCheckpointHook`. Folders of DeepSpeed are as they were.
    Removable: when ``LocalBackend.put`` of onedl-mmengine renames a complete file and
    ``find_latest_checkpoint`` looks at what it finds; in 0.10.12 they do not.
    """
    if module_of("mmengine.runner") is None:
        return Status("not applicable", "mmengine is not installed")
    from mmengine.fileio import LocalBackend

    from snnssl_mm.checkpoints.atomic_files import write_atomically

    def put(self: Any, obj: bytes, filepath: str | Path) -> None:
        write_atomically(Path(filepath), obj)

    def put_text(
        self: Any, obj: str, filepath: str | Path, encoding: str = "utf-8"
    ) -> None:
        write_atomically(Path(filepath), obj.encode(encoding))

    def find_latest_checkpoint(path: str) -> str | None:
        # imported late: mmengine.runner may be half imported when this is applied
        from snnssl_mm.checkpoints.resuming import last_intact_checkpoint

        return last_intact_checkpoint(path)

    LocalBackend.put, LocalBackend.put_text = put, put_text
    for name in ("", ".checkpoint", ".runner", "._flexible_runner"):
        module = sys.modules[f"mmengine.runner{name}"]
        vars(module)["find_latest_checkpoint"] = find_latest_checkpoint
    return Status("cured", "local files are atomic, resuming takes an intact one")


def safe_checkpoints() -> Status:
    """Loading a checkpoint, or ``--resume``, runs code that is hidden in the file.

    Cause: onedl-mmengine reads what torch's safe unpickler refuses once more without
    it, after a warning; what is behind a URL it unpickles unsafely at once; and
    ``Runner.resume`` runs the text ``meta['config']``.
    :mod:`snnssl_mm.checkpoints.reading` takes the place of both readers. It still
    allows mmengine's own classes, without which no training could be resumed, and
    checks what torch does not: the checksums.
    Removable: when mmengine's loaders raise instead of falling back, and
    ``load_url`` passes ``weights_only=True``; in onedl-mmengine 0.10.12 they do not.
    The checksums then move to :mod:`snnssl_mm.checkpoints.loading`.
    """
    module = module_of("mmengine.runner.checkpoint")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    from snnssl_mm.checkpoints import reading

    module._safe_torch_load = reading.load
    module.load_url = reading.load_url
    return Status("cured", "checkpoints that would run code are refused")
