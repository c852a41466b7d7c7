"""What the parts of the GPU script share: device, sizes, time left, timing, memory."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from device_timing import Cuda, QueuedTimer
from harness import digits, seconds_of
from learners import Size

Jobs = Iterator[tuple[str, Callable[[], Any]]]
"""Measurements: name -> function that returns numbers."""

TINY = dict(embed_dims=32, depth=1, num_heads=2)
ROUNDS = 3


@dataclass
class Context:
    """Where and how long the parts run.

    Attributes:
        device: ``'cuda'``; ``'cpu'`` for a dry run.
        tiny: Whether sizes are those of a dry run.
        folder: Of the results.
        images: CIFAR-10 as JPEGs in class folders, or a tar file of them.
        until: Time of the monotonic clock at which the current part should end.
    """

    device: str
    tiny: bool
    folder: Path
    images: Path | None = None
    until: float = float("inf")

    def left(self) -> float:
        """Return the seconds that the current part has left."""
        return self.until - time.monotonic()

    def steps(self) -> dict[str, Size]:
        """Return the sizes of the training steps, by name, in both precisions."""
        if self.tiny:
            sizes = {"tiny": Size(TINY, "cifar", 32, 2, self.device, projector=32)}
        else:
            sizes = {
                "4-384, 256 x 32 px": Size("4-384", "cifar", 32, 256, self.device),
                "8-512, 32 x 224 px": Size("8-512", "imagenet", 224, 32, self.device),
            }
        return {
            f"{name}, {precision}": size._replace(autocast=dtype)
            for name, size in sizes.items()
            for precision, dtype in (("bf16", torch.bfloat16), ("fp32", None))
        }


def device_ms(run: Callable[[], Any], device: str, warm_up: int = 3) -> float:
    """Median milliseconds of a run on the device, without the host's latency."""
    for _ in range(warm_up):
        run()
    if device == "cpu":
        return digits(1e3 * seconds_of(run, 1, device))
    timer = QueuedTimer(run, Cuda())
    return digits(1e3 * statistics.median(timer().seconds for _ in range(ROUNDS)))


def step_ms(run: Callable[[], Any], device: str) -> float:
    """Mean milliseconds of a step among others, as in training."""
    return digits(1e3 * seconds_of(run, ROUNDS, device))


def free_memory() -> None:
    """Return what the last measurement held to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
