"""Reports of a training's phases (begin and end) to the process that kills it."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from snnssl_mm.checkpoints import atomic_files
from snnssl_mm.engine import RepresentationHealthHook
from snnssl_mm.engine.hooks.probe_hooks import ProbeHook

PHASES = ("iteration", "checkpoint", "evaluation")
PIECES = 32  # of a checkpoint, so that a kill can hit between two of them
PAUSE = 1e-3  # seconds between two pieces


class Event(NamedTuple):
    """Begin or end of a phase; ``index`` counts the phases of a kind, from 0."""

    seconds: float
    phase: str
    index: int
    begins: bool


def read_event(line: str) -> Event:
    """Read a line that :class:`Phases` wrote."""
    seconds, phase, index, begins = line.split()
    return Event(float(seconds), phase, int(index), begins == "begin")


class SlowFile:
    """File that is written slowly in pieces; the phase excludes the first piece."""

    def __init__(self, stream: Any, phases: Phases) -> None:
        self.stream, self.phases = stream, phases

    def write(self, content: bytes) -> None:
        """Write and flush piece after piece."""
        step = -(-len(content) // PIECES)
        self.piece(content[:step])
        with self.phases.phase("checkpoint"):
            for start in range(step, len(content), step):
                time.sleep(PAUSE)
                self.piece(content[start : start + step])

    def piece(self, content: bytes) -> None:
        """Write and flush one piece."""
        self.stream.write(content)
        self.stream.flush()


class Phases:
    """Reports the phases of this process's training to a pipe.

    Args:
        pipe: File descriptor to write to.
    """

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.counts: Counter[str] = Counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report the begin and end of a phase."""
        index = self.counts[name]
        self.counts[name] += 1
        os.write(self.pipe, f"{time.monotonic()} {name} {index} begin\n".encode())
        yield
        os.write(self.pipe, f"{time.monotonic()} {name} {index} end\n".encode())

    def around(self, owner: type, method: str, name: str) -> None:
        """Report a method as a phase."""
        inner: Callable[..., Any] = getattr(owner, method)

        def outer(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return inner(*args, **kwargs)

        setattr(owner, method, outer)

    def install(self) -> None:
        """Report iterations, writing of checkpoints, and evaluations."""
        from mmengine.runner import (
            EpochBasedTrainLoop,  # it wants snnssl_mm.compat first
        )

        self.around(EpochBasedTrainLoop, "run_iter", "iteration")
        self.around(ProbeHook, "report", "evaluation")
        self.around(RepresentationHealthHook, "measure", "evaluation")
        inner = atomic_files.open_atomically

        @contextlib.contextmanager
        def written_slowly(file: Path) -> Iterator[Any]:
            with inner(file) as stream:
                slow = file.suffix == ".pth"
                yield SlowFile(stream, self) if slow else stream

        atomic_files.open_atomically = written_slowly
