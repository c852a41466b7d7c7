"""Screen output of a training: a summary at the start, iterations, all warnings."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import EpochBasedTrainLoop

FILE_ONLY = re.compile(
    r"\s*(?:-+\s+)?(?:System environment:|Config:|Hooks will be executed in|"
    r"paramwise_options|Distributed training is not used)"
)
"""Beginnings of messages that are written to the log file but not to the screen."""


IRRELEVANT = re.compile(
    r'"FileClient" will be deprecated|"HardDiskBackend" is the alias of'
)
"""Beginnings of warnings that mmengine emits about its own calls."""


def is_for_screen(record: logging.LogRecord) -> bool:
    """Whether a log message of a training is shown on the screen."""
    message = record.getMessage()
    if record.levelno >= logging.WARNING:
        return not IRRELEVANT.match(message)
    return not FILE_ONLY.match(message)


@contextlib.contextmanager
def quiet_runner() -> Iterator[None]:
    """Hide long descriptions from the screen for the runner that is built inside.

    mmengine's Runner creates its logger and writes to it in one call, so the filter is
    added to the screen's handler (never to a file's) while the logger is created.
    """
    make = MMLogger.__init__

    def make_quiet(self: MMLogger, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        for handler in self.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_for_screen)

    MMLogger.__init__ = make_quiet
    try:
        yield
    finally:
        MMLogger.__init__ = make


def opening(runner: Any, model: torch.nn.Module) -> str:
    """Summarise a training that is about to start: model, device, data, folder.

    Args:
        runner: Runner with a built training loop.
        model: The model, not wrapped.
    """
    parameters = list(model.parameters())
    teacher = getattr(model, "teacher", None)
    of_teacher = 0 if teacher is None else sum(p.numel() for p in teacher.parameters())
    own = (sum(p.numel() for p in parameters) - of_teacher) / 1e6
    averaged = f", and {of_teacher / 1e6:.2f} M of its teacher" if of_teacher else ""
    backbone = getattr(model, "backbone", None)
    name = type(model).__name__
    if backbone is not None:
        name += f" with {type(backbone).__name__}"
    device = parameters[0].device if parameters else torch.device("cpu")
    where = f"CPU, threads: {torch.get_num_threads()}"
    if device.type == "cuda":
        where = f"{device}, {torch.cuda.get_device_name(device)}"
    loader, loop = runner.train_dataloader, runner.train_loop
    data, length = type(loader.dataset).__name__, f"{loop.max_iters:,} iterations"
    if hasattr(loader.dataset, "__len__"):
        data = f"{len(loader.dataset):,} items of {data}"
    if isinstance(loop, EpochBasedTrainLoop):
        length += f", epochs: {loop.max_epochs}"
    log = getattr(runner.logger, "log_file", None) or Path(runner.log_dir)
    batch = getattr(loader, "batch_size", None)
    if batch is not None:
        data += f", batch size per process: {batch}"
    return "\n".join(
        (
            "Training starts",
            f"  model:     {name}, {own:.2f} M parameters{averaged}",
            f"  device:    {where}",
            f"  data:      {data}; {length}",
            f"  work_dir:  {runner.work_dir}",
            f"  log:       {log} (with config, hooks and environment)",
        )
    )
