"""Errors of loading data during training: cause, fix, and how to resume."""

from __future__ import annotations

import contextlib
import errno
import shutil
import traceback
from collections.abc import Iterator
from typing import Any

from snnssl_mm.checkpoints.resuming import CheckpointError
from snnssl_mm.datasets.data_error import DataError, PreflightError
from snnssl_mm.engine.guards.good_checkpoint import resume_advice
from snnssl_mm.engine.guards.training_stopped import TrainingStopped

SHM = "/dev/shm"
SHARED_MEMORY = ("(shm)", "</torch_")
"""Names of shared memory in errors of torch's C++ code, which have no errno."""
LOADER = "torch.utils.data.dataloader", "_try_get_data"
SIGNALS = "torch.utils.data._utils.signal_handling", "handler"
RERAISE = "torch._utils", "reraise"
"""Functions of torch that raise if a worker died, or re-raise a worker's error."""


@contextlib.contextmanager
def explain_errors(runner: Any) -> Iterator[None]:
    """Explain why data could not be loaded, and how to resume.

    Dead data loader workers, exhausted shared memory and unreadable files stop the
    training with a message, which is logged too. Any other error keeps its traceback
    and gets a note: whether it is from a worker, and what to resume from.

    Args:
        runner: Runner that trains inside the block.

    Raises:
        TrainingStopped: If loading data is the cause.
    """
    try:
        yield
    except (CheckpointError, TrainingStopped, PreflightError):
        raise
    except Exception as error:
        message = cause(error, runner.cfg.get("train_dataloader") or {})
        if message is None:
            error.add_note(note(error) + resume_advice(runner))
            raise
        message = f"{message}. {resume_advice(runner)}"
        runner.logger.error(message)
        raise TrainingStopped(message) from error


def cause(error: BaseException, loader: Any) -> str | None:
    """Explain an error of loading data; None for any other error.

    Args:
        error: Error that ended the training.
        loader: Settings of the training's data loader.
    """
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    if lacks_semaphores(error) or any(
        name in str(one) for one in chain for name in SHARED_MEMORY
    ):
        return f"Shared memory ran out while data were loaded: {shared(loader)}"
    died = [one for one in chain if raised_in(one, LOADER, SIGNALS)]
    if died:  # the innermost error names the signal
        return (
            f"{str(died[-1]).partition('. ')[0]}. Most likely memory ran out (see "
            f"dmesg): lower {loads(loader)}; or shared memory: {shared(loader)}; or a "
            "library crashed: num_workers=0 of the data loader shows where"
        )
    of_file = in_worker(error) and isinstance(error, OSError)
    return last_words(error) if of_file or isinstance(error, DataError) else None


def raised_in(error: BaseException, *functions: tuple[str, str]) -> bool:
    """Whether one of these functions, by module and name, raised the error itself."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames:
        return False
    last = frames[-1]
    return (last.f_globals.get("__name__"), last.f_code.co_name) in functions


def in_worker(error: BaseException) -> bool:
    """Whether torch re-raised the error of a data loader worker."""
    return raised_in(error, RERAISE)


def shared(loader: Any) -> str:
    """Describe the size of shared memory, and how to avoid its limit."""
    try:
        size = f"{SHM} has {shutil.disk_usage(SHM).total / 2**20:,.0f} MiB"
    except OSError:
        size = f"{SHM} does not exist"
    return f"{size}; enlarge it (docker run --shm-size=8g), or lower {loads(loader)}"


def loads(loader: Any) -> str:
    """List the settings that decide how many batches are in memory, with values."""
    defaults = {"num_workers": 0, "prefetch_factor": 2, "batch_size": 1}
    parts = [f"{key} ({loader.get(key, value)})" for key, value in defaults.items()]
    return f"{', '.join(parts[:-1])} or {parts[-1]} of the data loader"


def lacks_semaphores(error: BaseException) -> bool:
    """Whether multiprocessing could not allocate its locks in shared memory."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        isinstance(error, OSError)
        and error.errno == errno.ENOSPC
        and any("multiprocessing" in frame.filename for frame in frames)
    )


def last_words(error: BaseException) -> str:
    """Return an error's message without the traceback of the worker."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    found = str(error).rpartition(f"\n{module}{kind.__qualname__}: ")[2]
    return found.strip()


def note(error: Exception) -> str:
    """Describe an error as a worker's, if it is; else return empty text."""
    if not in_worker(error):
        return ""
    return (
        f"{type(error).__name__} in a data loader worker: a transform or the dataset "
        "raised it, see its traceback above; with num_workers=0 of the data loader a "
        "debugger stops there.\n"
    )
