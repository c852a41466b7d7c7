"""Training steps as they are: anatomy, shares of time, the longest kernels."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import torch
from anatomy import anatomy, kernel_times
from learners import Size
from rows.training_step import step
from shares import profiled, shares
from torch.profiler import ProfilerActivity, profile

from gpu_parts.context import Context, Jobs

TRACED = "bf16"
"""Only these steps leave a trace, for the size of what is brought back."""


def details(context: Context, name: str, size: Size) -> dict[str, Any]:
    """Anatomy of a step, its time by category and by kernel."""
    run = step("dual", size, fused=True)
    for _ in range(3):
        run()
    found = anatomy(run, context.device)
    events = profiled(run, context.device)
    found["percent_of_time"] = shares(events, context.device == "cuda")
    if context.device == "cuda":
        found |= kernel_times(events)
        if name.endswith(TRACED):
            words = name.replace(",", "").split()
            trace(run, context.folder / f"trace_{'_'.join(words)}.json.gz")
    return found


def trace(run: Any, file: Path) -> None:
    """Write a compressed trace of a run, for Perfetto."""
    plain = file.with_suffix("")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(plain))
    file.write_bytes(gzip.compress(plain.read_bytes(), 6))
    plain.unlink()


def jobs(context: Context) -> Jobs:
    """Every size in both precisions."""
    for name, size in context.steps().items():
        yield name, partial(details, context, name, size)
