"""Peak memory of training on a CPU, in the log."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from mmengine.hooks import Hook

from snnssl_mm.recording.memory import peak_resident
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class PeakMemoryHook(Hook):
    """Log ``memory``, the peak in MiB, on a CPU too.

    On a GPU mmengine logs it. On a CPU it is the resident memory of the process, so
    that libraries count (some hundred MiB). Systems without ``/proc`` log nothing.

    Args:
        interval: Iterations between two readings.
    """

    priority = "NORMAL"  # before the logger

    def __init__(self, interval: int = 10) -> None:
        if interval < 1:
            raise ValueError(
                f"PeakMemoryHook needs interval >= 1 iteration, got {interval}"
            )
        self.interval = interval

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Read the peak at the interval."""
        due = self.every_n_train_iters(runner, self.interval)  # over short epochs
        if due and not torch.cuda.is_available():
            with contextlib.suppress(OSError):
                peak = peak_resident() / 2**20
                runner.message_hub.update_scalar("train/memory", peak)
