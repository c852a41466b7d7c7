"""Description of the machine and of the load from other processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

BUSY = 0.05
"""Share of all cores above which other processes make a timing an upper bound."""


def describe_machine() -> dict[str, str | int]:
    """Describe processor, cores, GPU and versions, for results files."""
    return {
        "processor": processor_name(),
        "generation": processor_generation(),
        "cores": os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def machine_text(machine: Mapping[str, Any]) -> str:
    """Format a description of :func:`describe_machine` in one line."""
    where = machine["gpu"] if machine["gpu"] != "none" else machine["processor"]
    return f"{machine['cores']} cores, {where}, torch {machine['torch']}"


def processor_name() -> str:
    """Return the model name of the processor."""
    found = cpu_info().get("model name")
    return found or platform.processor() or platform.machine()


def processor_generation() -> str:
    """Tell processors of one name apart: family, model and vector instructions."""
    info = cpu_info()
    numbers = [f"{key} {info[key]}" for key in ("cpu family", "model") if key in info]
    capability = torch.backends.cpu.get_cpu_capability()
    return ", ".join([*numbers, capability]).removeprefix("cpu ")


def cpu_info(file: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Read the entries of the first core; empty on systems without the file."""
    if not file.exists():
        return {}
    first = file.read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


@contextmanager
def measured_load() -> Iterator[dict[str, float]]:
    """Measure the load from other processes while the block runs.

    Yields:
        A dict that is filled when the block is left: ``others`` (share of all cores'
        time that other processes took), ``steal`` (share that the host of a virtual
        machine took) and ``load_average`` (runnable processes over the last minute).
        It stays empty on systems without ``/proc/stat``.
    """
    found: dict[str, float] = {}
    before, own = cpu_seconds(), os.times()
    yield found
    after, now = cpu_seconds(), os.times()
    if not before or not after:
        return
    spent = CpuSeconds(*(b - a for a, b in zip(before, after, strict=True)))
    mine = (now.user + now.system) - (own.user + own.system)
    if spent.total <= 0:
        return
    others = max(0.0, spent.total - spent.idle - spent.steal - mine)
    found["others"] = round(min(1.0, others / spent.total), 3)
    found["steal"] = round(max(0.0, spent.steal / spent.total), 3)
    found["load_average"] = round(os.getloadavg()[0], 2)


class CpuSeconds(NamedTuple):
    """Seconds of all cores: total, idle, stolen by the host of a virtual machine."""

    total: float
    idle: float
    steal: float


def cpu_seconds(stat: Path = Path("/proc/stat")) -> CpuSeconds | None:
    """Read how the cores spent their time since the machine started."""
    if not stat.exists():
        return None
    ticks = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
    second = os.sysconf("SC_CLK_TCK")
    idle, steal = ticks[3] + ticks[4], ticks[7]
    return CpuSeconds(sum(ticks) / second, idle / second, steal / second)


def is_busy(load: Mapping[str, Any] | None) -> bool:
    """Tell whether times measured under this load are only upper bounds."""
    return bool(load) and load["others"] + load["steal"] > BUSY  # type: ignore[index]


def load_text(load: Mapping[str, Any] | None) -> str:
    """Describe what a load means for a time that was measured under it."""
    if not load:
        return "load from other processes not recorded"
    share = 100 * (load["others"] + load["steal"])
    if is_busy(load):
        return f"busy machine: upper bound (others took {share:.0f} % of the cores)"
    return f"quiet machine (others took {share:.0f} % of the cores)"
