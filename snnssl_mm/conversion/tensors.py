"""What the names of a state dict show."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def count_children(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the modules ``prefix.0``, ``prefix.1``, ..."""
    starts = {
        name.removeprefix(f"{prefix}.").partition(".")[0]
        for name in state
        if name.startswith(f"{prefix}.")
    }
    return len(starts)
