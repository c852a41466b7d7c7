"""Seconds of a run on a GPU without the host's latency, and seconds of the host.

From an idle GPU, a short run lasts as long as the host needs to launch its kernels. So
that the GPU's own time is measured, a sample is queued behind a spin, a kernel that
only waits: when it ends, the sample's kernels are there. The host's time is measured
apart, with an empty queue.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch

QUEUED_S = 20e-3
"""Work of a sample, so that the events' resolution and the spin's end do not matter."""

LAUNCHING_S = 4e-3
"""Longest launching of a sample of several runs, which leaves room in CUDA's queue: it
holds about 1,000 launches, and a launch takes 4 microseconds or more."""

SPIN_MARGIN = 1.5
SPINS = 4
"""How much longer a spin is than the launching, and how often it is doubled."""


class Sample(NamedTuple):
    """Seconds of a run.

    Attributes:
        seconds: Of the device; of the run if it is on the CPU.
        host: Until the call returned, with an empty queue; None on a CPU.
        waits: Whether the call returned only after the device had begun, so that
            ``seconds`` contains time of the host: it synchronises, or launches more
            than the queue holds.
    """

    seconds: float
    host: float | None = None
    waits: bool = False


class Device(Protocol):
    """A device that works through a queue, and the host's clock."""

    def now(self) -> float:
        """Return the host's clock, in seconds."""

    def finish(self) -> None:
        """Wait until the queue is empty."""

    def spin(self, seconds: float) -> None:
        """Queue a wait."""

    def mark(self) -> Any:
        """Queue a time stamp."""

    def seconds_between(self, start: Any, end: Any) -> float:
        """Return the device's seconds between two time stamps that have passed."""


class Cuda:
    """Torch's current CUDA device and stream."""

    def __init__(self) -> None:
        cycles = 10**7
        for _ in range(2):  # the first raises the clock
            start = self.mark()
            torch.cuda._sleep(cycles)
            end = self.mark()
            self.finish()
        self.cycles_per_second = cycles / self.seconds_between(start, end)

    def now(self) -> float:
        """Return the host's clock, in seconds."""
        return time.perf_counter()

    def finish(self) -> None:
        """Wait until the queue is empty."""
        torch.cuda.synchronize()

    def spin(self, seconds: float) -> None:
        """Queue a wait."""
        torch.cuda._sleep(math.ceil(seconds * self.cycles_per_second))

    def mark(self) -> torch.cuda.Event:
        """Queue a time stamp."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds_between(self, start: Any, end: Any) -> float:
        """Return the device's seconds between two time stamps that have passed."""
        return float(start.elapsed_time(end)) / 1e3


class QueuedTimer:
    """Timer of a warm run on a device with a queue; a call returns a sample.

    Args:
        run: The run.
        device: Where it runs.

    Attributes:
        number: Runs of a sample.
    """

    def __init__(self, run: Callable[[], Any], device: Device) -> None:
        self.run, self.device = run, device
        self.number, self.spins = 1, SPINS
        launching = max(1e-9, min(self._host_seconds() for _ in range(3)))
        self.spin = SPIN_MARGIN * launching
        enough = math.ceil(QUEUED_S / max(1e-9, self().seconds))
        self.number = max(1, min(enough, int(LAUNCHING_S / launching)))
        self.spin *= self.number

    def _host_seconds(self) -> float:
        """Return seconds per run until the calls return, with an empty queue."""
        self.device.finish()
        start = self.device.now()
        for _ in range(self.number):
            self.run()
        return (self.device.now() - start) / self.number

    def __call__(self) -> Sample:
        """Take a sample."""
        host = self._host_seconds()
        for doubled in range(self.spins):
            self.device.finish()
            self.device.spin(spin := self.spin * 2**doubled)
            start = self.device.mark()
            begin = self.device.now()
            for _ in range(self.number):
                self.run()
            launching = self.device.now() - begin
            end = self.device.mark()
            self.device.finish()
            if launching < spin:
                self.spin = spin
                break
        else:
            self.spins = 1  # no spin is long enough
        seconds = self.device.seconds_between(start, end) / self.number
        return Sample(seconds, host, waits=launching >= spin)
