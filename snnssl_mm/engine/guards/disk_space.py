"""Check free disk space before training; report disk-full errors."""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from snnssl_mm.checkpoints.resuming import newest_first, newest_intact
from snnssl_mm.engine.guards.training_stopped import TrainingStopped

GIB = 2**30
WRITING_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of writing only; the others count only for files in the run's folder."""
DISK_FAULTS = (*WRITING_FAULTS, errno.EACCES, errno.EPERM, errno.EIO)


def checkpoint_bytes(cfg: Config, model: nn.Module) -> int:
    """Compute a lower bound of a checkpoint's size: weights and optimizer moments."""
    settings = (cfg.get("optim_wrapper") or {}).get("optimizer") or {}
    adam = "Adam" in str(settings.get("type"))
    moments = 2 if adam else int(bool(settings.get("momentum")))
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    saved = checkpoint_hook(cfg).get("save_optimizer", True)
    return weights + (moments * trained if saved else 0)


def checkpoints_kept(cfg: Config, epochs: int, iterations: int) -> int:
    """Count the checkpoints on the disk at a time, with the one being written."""
    hook = checkpoint_hook(cfg)
    steps = epochs if hook.get("by_epoch", True) else iterations
    interval, kept = hook.get("interval", -1), hook.get("max_keep_ckpts", -1)
    written = math.ceil(steps / interval) if interval > 0 else 1
    return min(written, kept + 1) if kept > 0 else written


def checkpoint_hook(cfg: Config) -> dict[str, Any]:
    """Return the settings of the CheckpointHook."""
    return (cfg.get("default_hooks") or {}).get("checkpoint") or {}


def require_disk_space(
    cfg: Config, model: nn.Module, epochs: int, iterations: int
) -> None:
    """Require enough free disk space for the checkpoints of a run.

    Checkpoints in the work directory that the run will replace count as free.

    Args:
        cfg: Config of the run; ``work_dir`` exists.
        model: Built model.
        epochs: Length of the run in epochs.
        iterations: Length of the run in iterations.

    Raises:
        OSError: If there is too little space; gives the sizes.
    """
    folder = Path(checkpoint_hook(cfg).get("out_dir") or cfg.work_dir)
    if "://" in str(folder) or not folder.is_dir():
        return
    total, _, free = shutil.disk_usage(folder)
    if total == 0:  # a file system that does not report its size
        return
    size = checkpoint_bytes(cfg, model)
    number = checkpoints_kept(cfg, epochs, iterations)
    room = free + sum(file.stat().st_size for file in newest_first(folder))
    if size * number > room:
        raise OSError(
            f"the checkpoints of this run need at least {size * number / GIB:.2f} GiB "
            f"in {folder} ({number} of {size / GIB:.2f} GiB: the next is written "
            f"before the oldest is removed), but only {room / GIB:.2f} GiB are free: "
            "free disk space, choose another --work-dir, or keep fewer checkpoints "
            "(--cfg-options default_hooks.checkpoint.max_keep_ckpts=1)"
        )


@contextlib.contextmanager
def explain_disk_errors(work_dir: str) -> Iterator[None]:
    """Stop the training with a message if the disk is full or cannot be written.

    Other errors are not caught, since they need their traceback.

    Args:
        work_dir: Work directory; the message names its last intact checkpoint.

    Raises:
        TrainingStopped: If the disk is the cause.
    """
    try:
        yield
    except OSError as error:
        folders = (work_dir, str(Path(work_dir).resolve()))
        own = str(error.filename or "").startswith(folders)
        if error.errno not in (DISK_FAULTS if own else WRITING_FAULTS):
            raise
        where = error.filename or work_dir
        intact = newest_intact(Path(work_dir))
        advice = (
            f"{intact} is intact: free disk space and continue with --resume"
            if intact
            else "there is no checkpoint yet: free disk space, or choose another "
            "--work-dir"
        )
        raise TrainingStopped(
            f"cannot write {where}: {error.strerror}; {advice}"
        ) from error
