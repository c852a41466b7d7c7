"""Peak memory of this process."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_resident() -> int:
    """Return the peak resident memory of this program in bytes.

    getrusage's ``ru_maxrss`` is not used, since it starts at the size of the parent
    process, so that a child of a large process would show its parent's peak.

    Raises:
        OSError: If the system has no ``/proc``, as Linux has.
    """
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"peak memory needs VmHWM in {STATUS}, which Linux has")
