"""Save and restore the states of all random generators of a process."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's generators.

    For torch they are the states of the CPU and, if there is one, of the current CUDA
    device.
    """
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  (mmengine's)
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any]) -> None:
    """Restore what :func:`random_states` returned; other devices keep their states."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


@contextlib.contextmanager
def random_states_kept(seed: int | None = None) -> Iterator[None]:
    """Restore the global random states on exit: Python's, NumPy's and torch's.

    Args:
        seed: Seed of all generators inside; None does not seed them.
    """
    states = random_states()
    # torch.manual_seed seeds the other CUDA devices too; fork_rng restores those.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
        try:
            yield
        finally:
            set_random_states(states)
