"""Parallel child processes with a progress bar; each result is printed as it comes."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from snnssl_mm.cli.shared import children

if TYPE_CHECKING:
    from rich.progress import Progress

Work = TypeVar("Work")


class Place(NamedTuple):
    """Share of the machine of one child process.

    Attributes:
        threads: Its threads.
        gpu: Its GPU; None without one.
    """

    threads: int
    gpu: str | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of the child process."""
        env = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        return env if self.gpu is None else {**env, "CUDA_VISIBLE_DEVICES": self.gpu}


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def places(number: int, gpus: Sequence[str] = ()) -> list[Place]:
    """Divide the machine among ``number`` child processes; they share few GPUs."""
    threads = max(1, cores() // number)
    return [
        Place(threads, gpus[index % len(gpus)] if gpus else None)
        for index in range(number)
    ]


def run_parallel(
    work: Sequence[Work],
    compute: Callable[[Work, Place], Any],
    report: Callable[[Work, Any], str],
    at: Sequence[Place],
    bar: RunsBar,
) -> None:
    """Compute pieces of work in their order, one at each place at a time.

    A failure is printed and the others are computed nevertheless. Ctrl-C ends all child
    processes.

    Args:
        work: The pieces.
        compute: Computes one at a place, in a thread, by child processes.
        report: Takes a result, in this thread, and returns what to print.
        at: The places.
        bar: Progress bar, which is advanced.

    Raises:
        ChildError: After the others, if pieces failed; names the first.
    """
    free: queue.SimpleQueue[Place] = queue.SimpleQueue()
    for place in at:
        free.put(place)

    def occupy(piece: Work) -> Any:
        place = free.get()
        try:
            return compute(piece, place)
        finally:
            free.put(place)

    failures: list[children.ChildError] = []
    with ThreadPoolExecutor(len(at)) as pool:
        pending: dict[Future[Any], Work] = {
            pool.submit(occupy, one): one for one in work
        }
        try:
            for finished in as_completed(pending):
                piece = pending[finished]
                try:
                    bar.say(report(piece, finished.result()))
                except children.ChildError as error:
                    failures.append(error)
                    bar.say(f"failed: {error}")
                bar.advance(piece)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop_children()
            raise
    raise_failures(failures)


def raise_failures(failures: Sequence[children.ChildError]) -> None:
    """Raise the first failure and the number of the others; nothing without any.

    Raises:
        ChildError: If there are any.
    """
    if failures:
        others = len(failures) - 1
        more = f"\nand {others} more, above" if others else ""
        raise children.ChildError(f"{failures[0]}{more}")


def start_child(command: list[str], log: Path, place: Place) -> None:
    """Run a command and append its output to a file.

    Raises:
        ChildError: If it fails; with the last lines of its output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        try:
            children.run_child(
                command, log, stdout=out, stderr=out, env=place.environment()
            )
        except children.ChildError as error:
            raise children.ChildError(f"{error}:\n{last_lines(log)}") from None


def last_lines(log: Path) -> str:
    """Return the last lines of a log; empty if there is none."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


class RunsBar:
    """Progress bar that estimates the remaining time from the last hour.

    Args:
        total: Number of runs.
        done: Number of those that were done before.
        cost: Relative expected time of a piece of work, and its number of runs.
        work: All pieces that are to be done.
    """

    def __init__(
        self,
        total: int,
        done: int,
        work: Sequence[Any],
        cost: Callable[[Any], tuple[float, int]] = lambda _: (1.0, 1),
    ) -> None:
        self.total, self.done, self.cost = total, done, cost
        self.progress = bar_of_runs()
        self.bar = self.progress.add_task(
            self.text(), total=sum(cost(piece)[0] for piece in work)
        )

    def __enter__(self) -> RunsBar:
        """Show the bar."""
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Leave the bar as it is."""
        self.progress.stop()

    def text(self) -> str:
        """Return the number of done runs."""
        return f"{self.done}/{self.total} runs"

    def say(self, text: str) -> None:
        """Print above the bar."""
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, piece: Any) -> None:
        """Count a piece of work."""
        cost, runs = self.cost(piece)
        self.done += runs
        self.progress.update(self.bar, advance=cost, description=self.text())


def bar_of_runs() -> Progress:
    """Make a progress bar that estimates the remaining time from the last hour."""
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        speed_estimate_period=3600,
    )
