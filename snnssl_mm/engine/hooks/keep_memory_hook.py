"""Keep freed memory for the next tensor, when training on a CPU under Linux."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch
from mmengine.hooks import Hook

from snnssl_mm.registry import HOOKS

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Tell glibc to hand large freed blocks out again instead of unmapping them.

    By default every large tensor is mapped afresh and each of its pages faults once,
    which can cost as much as the step's own work. Like torch's cache on a GPU the
    process then keeps the most memory that it ever had, except tensors above 1 GiB.
    Free room is in pieces, so this most still rises a little over the first evaluations
    before it stays (benchmarks/long_run.py).

    Returns:
        Whether the C library took the setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    # glibc before 2.34 takes 32 MiB at most for the first.
    unmapped = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
    return bool(unmapped and mallopt(M_TRIM_THRESHOLD, -1))  # never trim


@HOOKS.register_module()
class KeepMemoryHook(Hook):
    """Call :func:`keep_freed_memory` before a run on a CPU; GPUs have torch's cache."""

    def before_run(self, runner: Any) -> None:
        """Set it once for the process."""
        if not torch.cuda.is_available():
            keep_freed_memory()
