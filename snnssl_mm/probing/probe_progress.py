"""Progress bars of a probe in training, whose log goes to a file."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bars(console: Console) -> Progress:
    """Make progress bars that show iterations and the remaining time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,
    )


class QuietRunner(Runner):
    """mmengine's runner that logs only to its file."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger without handlers that write to the terminal."""
        logger = super().build_logger(*args, **kwargs)
        logger.handlers = [
            handler
            for handler in logger.handlers
            if isinstance(handler, logging.FileHandler)
        ]
        return logger


@contextlib.contextmanager
def prints_to(file: Path) -> Iterator[Progress]:
    """Redirect standard output to a file; yield progress bars on the terminal."""
    file.parent.mkdir(parents=True, exist_ok=True)
    bars = progress_bars(Console(file=sys.stdout))
    with file.open("a") as out, bars, contextlib.redirect_stdout(out):
        yield bars


class ProgressHook(Hook):
    """Hook that shows the progress of a run's training and test.

    Args:
        bars: The progress bars.
        text: Prefix of each bar's description.
    """

    priority = "LOWEST"

    def __init__(self, bars: Progress, text: str) -> None:
        self.bars = bars
        self.text = text
        self.bar = TaskID(0)

    def before_train(self, runner: Any) -> None:
        """Start a bar at the resumed iteration."""
        self.bar = self.bars.add_task(
            f"{self.text}: training", total=runner.max_iters, completed=runner.iter
        )

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        """Count a batch."""
        self.bars.update(self.bar, completed=runner.iter + 1)

    def before_test(self, runner: Any) -> None:
        """Start a bar for the test."""
        total = len(runner.test_dataloader)
        self.bar = self.bars.add_task(f"{self.text}: test", total=total)

    def after_test_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        """Count a batch."""
        self.bars.update(self.bar, completed=batch_idx + 1)
