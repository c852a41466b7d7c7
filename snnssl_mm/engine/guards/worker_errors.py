"""Data that cannot be loaded in mid-training: the cause, the cure, how to go on."""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import traceback
from collections.abc import Iterator
from typing import Any

from snnssl_mm.checkpoints.resuming import CheckpointError
from snnssl_mm.datasets.data_error import DataError, PreflightError
from snnssl_mm.engine.guards.good_checkpoint import resume_advice
from snnssl_mm.engine.guards.training_stopped import TrainingStopped

SHM = "/dev/shm"
# torch.utils.data's words, and those of torch's and Python's shared memory.
DIED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pid>[\d, ]+)\) "
    r"(?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly"
    r"(?: with exit code (?P<code>\d+))?)"
)
RAISED = re.compile(
    r"Caught (?P<type>\w+) in DataLoader worker process (?P<number>\d+)"
)
NO_SHM = re.compile(r"unable to (?:allocate|mmap|resize|write|open).*(?:shm|</torch_)")


@contextlib.contextmanager
def explain_errors(runner: Any) -> Iterator[None]:
    """Say in a sentence why data could not be loaded, and how to go on.

    Dead data loader workers, exhausted shared memory and unreadable files stop the
    training with a sentence, in the log too. Any other error keeps its traceback and
    gets a note: which worker it is from, and what to resume from.

    Args:
        runner: That of the training inside.

    Raises:
        TrainingStopped: If the data are the cause.
    """
    try:
        yield
    except (CheckpointError, TrainingStopped, PreflightError):
        raise
    except Exception as error:
        told = cause(error, runner.cfg.get("train_dataloader") or {})
        if told is None:
            error.add_note(note(error) + resume_advice(runner))
            raise
        told = f"{told}. {resume_advice(runner)}"
        runner.logger.error(told)
        raise TrainingStopped(told) from error


def cause(error: BaseException, loader: Any) -> str | None:
    """Say what stopped the loading of data; None for any other error.

    Args:
        error: What the training ended with.
        loader: Settings of the training's data loader.
    """
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    texts = [str(one) for one in chain]
    if any(NO_SHM.search(text) for text in texts) or lacks_semaphores(error):
        return f"Shared memory ran out while data were loaded: {shared(loader)}"
    deaths = [match for text in texts if (match := DIED.search(text))]
    if deaths:  # that with a signal, which torch may have wrapped, says most
        return death(max(deaths, key=lambda match: bool(match["signal"])), loader)
    raised = RAISED.search(texts[0])
    if isinstance(error, DataError) or (raised and isinstance(error, OSError)):
        return last_words(error)
    return None


def death(found: re.Match[str], loader: Any) -> str:
    """Say what a worker died of, as far as its signal tells."""
    who = f"A data loader worker (pid {found['pid'].strip()}) "
    signal = found["signal"]
    if found["code"]:
        return (
            f"{who}ended by itself with exit code {found['code']}; set num_workers=0 "
            "of the data loader to see its error"
        )
    if signal == "Bus error":
        return f"{who}died of a bus error, for want of shared memory: {shared(loader)}"
    if signal in (None, "Killed"):
        what = "was killed" if signal else "vanished"
        return (
            f"{who}{what}, most likely by the system because memory ran out (dmesg "
            f"tells); lower {loads(loader)}"
        )
    return (
        f"{who}was killed by the signal {signal}: a library crashed in it, or somebody "
        "stopped it; num_workers=0 of the data loader shows where"
    )


def shared(loader: Any) -> str:
    """How much shared memory there is, and what to do about it."""
    try:
        size = f"{SHM} has {shutil.disk_usage(SHM).total / 2**20:,.0f} MiB"
    except OSError:
        size = f"there is no {SHM}"
    return f"{size}; enlarge it (docker run --shm-size=8g), or lower {loads(loader)}"


def loads(loader: Any) -> str:
    """The settings that decide how many batches are in memory, with their values."""
    defaults = {"num_workers": 0, "prefetch_factor": 2, "batch_size": 1}
    parts = [f"{key} ({loader.get(key, value)})" for key, value in defaults.items()]
    return f"{', '.join(parts[:-1])} or {parts[-1]} of the data loader"


def lacks_semaphores(error: BaseException) -> bool:
    """Whether multiprocessing found no room in shared memory for its locks."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        isinstance(error, OSError)
        and error.errno == errno.ENOSPC
        and any("multiprocessing" in frame.filename for frame in frames)
    )


def last_words(error: BaseException) -> str:
    """An error's message without the traceback that a worker sent along."""
    text = str(error)
    if not RAISED.search(text):
        return text
    found = re.findall(r"^[\w.]+: (.*(?:\n(?!Traceback|\n).+)*)\n*\Z", text, re.M)
    return str(found[-1] if found else text).strip()


def note(error: Exception) -> str:
    """Name the worker that an error is from, if it is from one."""
    raised = RAISED.search(str(error))
    if raised is None:
        return ""
    return (
        f"{raised['type']} in data loader worker {raised['number']}: a transform or "
        "the dataset raised it, see its traceback above; with num_workers=0 of the "
        "data loader a debugger stops there.\n"
    )
