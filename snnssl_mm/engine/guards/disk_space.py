"""Room on the disk for the checkpoints of a run, and what happens without it."""

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
"""Only writing has these; the others are taken for files of the run's folder."""
DISK_FAULTS = (*WRITING_FAULTS, errno.EACCES, errno.EPERM, errno.EIO)


def checkpoint_bytes(cfg: Config, model: nn.Module) -> int:
    """Estimate a checkpoint's size from below: weights and the optimizer's moments."""
    settings = (cfg.get("optim_wrapper") or {}).get("optimizer") or {}
    adam = "Adam" in str(settings.get("type"))
    moments = 2 if adam else int(bool(settings.get("momentum")))
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    saved = checkpoint_hook(cfg).get("save_optimizer", True)
    return weights + (moments * trained if saved else 0)


def checkpoints_kept(cfg: Config, epochs: int, iterations: int) -> int:
    """Count the checkpoints that lie there at once, the one being written included."""
    hook = checkpoint_hook(cfg)
    steps = epochs if hook.get("by_epoch", True) else iterations
    interval, kept = hook.get("interval", -1), hook.get("max_keep_ckpts", -1)
    written = math.ceil(steps / interval) if interval > 0 else 1
    return min(written, kept + 1) if kept > 0 else written


def checkpoint_hook(cfg: Config) -> dict[str, Any]:
    """Settings of the CheckpointHook."""
    return (cfg.get("default_hooks") or {}).get("checkpoint") or {}


def check_disk_space(
    cfg: Config, model: nn.Module, epochs: int, iterations: int
) -> None:
    """Compare what the checkpoints of a run will take with what is free for them.

    Checkpoints of the work directory that the run will replace count as free.

    Args:
        cfg: Config of the run; ``work_dir`` exists.
        model: Built model.
        epochs: Length of the run.
        iterations: The same, in iterations.

    Raises:
        OSError: If there is too little room, with the numbers.
    """
    folder = Path(checkpoint_hook(cfg).get("out_dir") or cfg.work_dir)
    if "://" in str(folder) or not folder.is_dir():
        return
    total, _, free = shutil.disk_usage(folder)
    if total == 0:  # a file system that does not say
        return
    size = checkpoint_bytes(cfg, model)
    number = checkpoints_kept(cfg, epochs, iterations)
    room = free + sum(file.stat().st_size for file in newest_first(folder))
    if size * number > room:
        raise OSError(
            f"the checkpoints of this run need at least {size * number / GIB:.2f} GiB "
            f"in {folder} ({number} of {size / GIB:.2f} GiB: the next is written "
            f"before the oldest is removed), and {room / GIB:.2f} GiB are free: make "
            "room, choose another --work-dir, or keep fewer (--cfg-options "
            "default_hooks.checkpoint.max_keep_ckpts=1)"
        )


@contextlib.contextmanager
def disk_faults_as_sentences(work_dir: str) -> Iterator[None]:
    """Stop the training with a sentence when the disk is full or cannot be written.

    Other errors pass: they need their traceback.

    Args:
        work_dir: Of the run; the sentence names its last whole checkpoint.

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
        whole = newest_intact(Path(work_dir))
        left = (
            f"{whole} is whole: make room, and go on with --resume"
            if whole
            else "there is no checkpoint yet: make room, or choose another --work-dir"
        )
        raise TrainingStopped(
            f"cannot write {where}: {error.strerror}; {left}"
        ) from error
