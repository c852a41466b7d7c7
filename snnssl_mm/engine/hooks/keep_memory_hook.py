"""Reuse of freed memory in training on a CPU under Linux."""

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
    """Make glibc reuse large freed blocks instead of unmapping them.

    By default every large tensor is mapped newly and each of its pages faults once,
    which can cost as much as the step itself. With this setting the process keeps its
    peak memory, like torch's cache on a GPU, except for tensors above 1 GiB. Because of
    fragmentation the peak still grows a little over the first evaluations
    (benchmarks/long_run.py).

    Returns:
        Whether the C library accepted the setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    # glibc before 2.34 accepts at most 32 MiB for the first.
    unmapped = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
    return bool(unmapped and mallopt(M_TRIM_THRESHOLD, -1))  # never trim


@HOOKS.register_module()
class KeepMemoryHook(Hook):
    """Call :func:`keep_freed_memory` before a run on a CPU; GPUs have torch's cache."""

    def before_run(self, runner: Any) -> None:
        """Set it once per process."""
        if not torch.cuda.is_available():
            keep_freed_memory()
