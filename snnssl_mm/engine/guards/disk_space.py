"""Room on the disk for the checkpoints of a run, and what happens without it."""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from torch import nn

from snnssl_mm.checkpoints.resuming import damage, newest_first
from snnssl_mm.engine.guards.training_stopped import TrainingStopped

GIB = 2**30
TEXT = 2**20  # bytes of names, config and random states in a checkpoint, at most
HISTORY = 10 * 16  # bytes an iteration of ten logged numbers; mmengine keeps a million
WRITING_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Only writing has these; the others are taken for files of the run's folder."""
DISK_FAULTS = (*WRITING_FAULTS, errno.EACCES, errno.EPERM, errno.EIO)


class CheckpointSizes(NamedTuple):
    """Bytes of the files of a run.

    Attributes:
        whole: A checkpoint to resume from.
        best: One of ``save_best``, without the optimizer's state.
        whole_count: How many of the former are there at once: those that are kept, and
            the one that is written before the oldest is removed.
        best_count: How many of the latter, likewise.
    """

    whole: int
    best: int
    whole_count: int
    best_count: int

    @property
    def total(self) -> int:
        """Bytes at the worst moment."""
        return self.whole * self.whole_count + self.best * self.best_count


def state_copies(optimizer: dict[str, Any] | None) -> float:
    """Size of an optimizer's state, in sizes of the parameters (2 for AdamW).

    Found by a step on one parameter; 2 if the optimizer needs more than its config.
    """
    weight = nn.Parameter(torch.zeros(64, 64))
    weight.grad = torch.ones_like(weight)
    try:
        built = OPTIMIZERS.build({**(optimizer or {}), "params": [weight]})
        built.step()
        state = built.state[weight].values()
    except Exception:  # any constructor, with any options
        return 2.0
    tensors = [v for v in state if isinstance(v, torch.Tensor) and v.numel() > 1]
    return sum(t.numel() * t.element_size() for t in tensors) / (64 * 64 * 4)


def checkpoint_sizes(
    cfg: Config, model: nn.Module, epochs: int, iterations: int
) -> CheckpointSizes:
    """Estimate what a run keeps on the disk.

    Args:
        cfg: Of the run.
        model: Built.
        epochs: Of the whole run.
        iterations: Of the whole run.
    """
    tensors = [*model.parameters(), *model.buffers()]
    weights = sum(t.numel() * t.element_size() for t in tensors)
    trained = [p for p in model.parameters() if p.requires_grad]
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    defaults = (cfg.get("default_hooks") or {}).values()
    hooks = [h for h in (*defaults, *(cfg.get("custom_hooks") or ())) if h is not None]
    if "EMAHook" in [str(h.get("type")).rpartition(".")[2] for h in hooks]:
        weights *= 2
    state = 0.0
    if hook.get("save_optimizer", True):
        copies = state_copies((cfg.get("optim_wrapper") or {}).get("optimizer"))
        state = copies * sum(p.numel() * p.element_size() for p in trained)
    weights += TEXT + HISTORY * min(iterations, 10**6)
    steps = epochs if hook.get("by_epoch", True) else iterations
    interval = hook.get("interval", -1)
    written = math.ceil(steps / interval) if interval > 0 else 1
    kept = hook.get("max_keep_ckpts", -1)
    best = hook.get("save_best") or []
    named = [best] if isinstance(best, str) else best
    return CheckpointSizes(
        whole=weights + round(state),
        best=weights,
        whole_count=min(written, kept + 1) if kept > 0 else written,
        best_count=len(named) + bool(named),
    )


def check_disk_space(
    cfg: Config, model: nn.Module, epochs: int, iterations: int
) -> None:
    """Compare what the checkpoints of a run will take with what is free for them.

    Checkpoints of the work directory that the run will replace count as free.

    Args:
        cfg: Of the run; ``work_dir`` exists.
        model: Built.
        epochs: Of the whole run.
        iterations: Of the whole run.

    Raises:
        OSError: If there is too little room, with the numbers.
    """
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    folder = Path(hook.get("out_dir") or cfg.work_dir)
    if "://" in str(folder) or not folder.is_dir():
        return
    total, _, free = shutil.disk_usage(folder)
    if total == 0:  # a file system that does not say
        return
    sizes = checkpoint_sizes(cfg, model, epochs, iterations)
    present = sum(file.stat().st_size for file in newest_first(folder))
    if sizes.total > free + present:
        best = f", {sizes.best_count} of save_best" if sizes.best_count else ""
        whole = f"{sizes.whole_count} of {sizes.whole / GIB:.2f} GiB"
        raise OSError(
            f"the checkpoints of this run need {sizes.total / GIB:.2f} GiB in {folder} "
            f"({whole}{best}: the next is written before the oldest is removed), and "
            f"{(free + present) / GIB:.2f} GiB are free: make room, choose another "
            "--work-dir, or keep fewer (--cfg-options "
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
        files = newest_first(Path(work_dir))
        whole = next((file for file in files if damage(file) is None), None)
        left = (
            f"{whole} is whole: make room, and go on with --resume"
            if whole
            else "there is no checkpoint yet: make room, or choose another --work-dir"
        )
        raise TrainingStopped(
            f"cannot write {where}: {error.strerror}; {left}"
        ) from error
