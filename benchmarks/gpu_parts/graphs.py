"""CUDA graphs of a run, captured as the graphs of training are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snnssl_mm.engine.graphed_step import CUDAGraphs

WARM_UP = 3
"""Runs before the capture, which compile kernels and allocate optimizer states."""


def captured(run: Callable[[], Any], device: str, number: int = 1) -> Callable[[], Any]:
    """Capture ``number`` runs into a CUDA graph; return its replay.

    The graph holds whatever the run does, such as a whole training step with its
    optimizer. A step that synchronises cannot be captured. Autocast must not cache
    weights, and the optimizer must be ``capturable``. A replay returns the tensors of
    the last captured run, which it has overwritten.

    Args:
        run: The run; the warm-up runs it :data:`WARM_UP` times.
        device: On ``'cpu'`` nothing is captured: the run is repeated instead.
        number: Runs in the graph.
    """

    def repeated() -> Any:
        return [run() for _ in range(number)][-1]

    for _ in range(WARM_UP):
        run()
    return repeated if device == "cpu" else CUDAGraphs().capture(repeated)
