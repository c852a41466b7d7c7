"""Checkpoints: safe reading, atomic writing; activation checkpointing that trains."""

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

    Cause: mmengine overwrites files in place, and ``resume=True`` loads whatever the
    file ``last_checkpoint`` names. Here local files are written atomically, and
    resuming finds the last intact checkpoint. The order of saving and removing is up
    to the hook, see :class:`snnssl_mm.engine.AtomicCheckpointHook`. DeepSpeed's
    folders are not changed.
    Removable: when ``LocalBackend.put`` of onedl-mmengine renames a complete file and
    ``find_latest_checkpoint`` verifies the file; in 0.10.12 they do not.
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
        # imported late: mmengine.runner may be partly imported when this is applied
        from snnssl_mm.checkpoints.resuming import last_intact_checkpoint

        return last_intact_checkpoint(path)

    LocalBackend.put, LocalBackend.put_text = put, put_text
    for name in ("", ".checkpoint", ".runner", "._flexible_runner"):
        module = sys.modules[f"mmengine.runner{name}"]
        vars(module)["find_latest_checkpoint"] = find_latest_checkpoint
    return Status("cured", "files are written atomically, resume finds an intact one")


def safe_checkpoints() -> Status:
    """Loading a checkpoint, or ``--resume``, executes code that is hidden in the file.

    Cause: onedl-mmengine repeats an unsafe read, after a warning, if torch's safe
    unpickler refuses a file; it unpickles files from a URL unsafely at once; and
    ``Runner.resume`` executes the text ``meta['config']``.
    ``load`` of :mod:`snnssl_mm.checkpoints.reading` and ``load_url`` of
    :mod:`snnssl_mm.checkpoints.downloads` replace both readers. They allow mmengine's
    own classes, which resuming needs, and verify the checksums, which torch does not.
    Removable: when mmengine's loaders raise instead of falling back, and
    ``load_url`` passes ``weights_only=True``; in onedl-mmengine 0.10.12 they do not.
    The checksums then move to :mod:`snnssl_mm.checkpoints.loading`.
    """
    module = module_of("mmengine.runner.checkpoint")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    from snnssl_mm.checkpoints import downloads, reading

    module._safe_torch_load = reading.load
    module.load_url = downloads.load_url
    return Status("cured", "checkpoints that would execute code are refused")
