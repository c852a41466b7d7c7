"""Peak memory of a block of code, relative to its start."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from snnssl_mm.recording.memory import peak_resident

MIB = 2**20


class PeakMemory:
    """Peak memory above the memory at the start, in MiB.

    On CUDA this is torch's allocated memory; on a CPU the resident memory of the
    process, which exceeds torch's tensors (at 1344x800 with with_cp these peak at 2,792
    MiB by torch's profiler). Earlier work must have a smaller peak, since the peak
    never decreases.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    def __enter__(self) -> PeakMemory:
        """Record the memory at the start."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.start = torch.cuda.memory_allocated()
        else:
            self.start = resident()
        return self

    def __exit__(self, *_: Any) -> None:
        """Record the peak."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            self.peak = torch.cuda.max_memory_allocated()
        else:
            self.peak = peak_resident()
        self.mib = (self.peak - self.start) / MIB


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def run_child(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script in a separate process; return the JSON of its last line."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
