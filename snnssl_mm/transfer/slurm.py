"""Jobs as a Slurm job array, submitted by submitit.

Each element of the array executes the jobs of some folders and leaves their rows there;
the waiting process collects them. An element that is preempted or reaches its time
limit goes back to the queue and resumes.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snnssl_mm.checkpoints.atomic_files import write_atomically

ELEMENT = "slurm.json"  # in a job's folder: the element that executes it
MINUTES = 240  # default time limit of an element; it resumes after it
POLL_SECONDS = 2.0
LOST_POLLS = 10  # until an element without rows that left the queue counts as failed


class SlurmError(RuntimeError):
    """Slurm or submitit cannot be used; the message is for the user."""


class Element:
    """What an element of the array calls; submitit pickles it."""

    def __call__(self, folders: Sequence[str]) -> None:
        """Execute the jobs of some folders that have no row yet."""
        os.environ["OMP_NUM_THREADS"] = os.environ.get("SLURM_CPUS_PER_TASK", "1")
        os.register_at_fork(after_in_child=drop_handlers)
        from snnssl_mm import compat  # after it, since torch reads the variable

        compat.apply()
        from snnssl_mm.transfer.execution import execute_all

        execute_all(list(map(Path, folders)))

    def checkpoint(self, folders: Sequence[str]) -> Any:
        """Submit the element again when it is preempted or its time ends."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, folders)


def drop_handlers() -> None:
    """Remove submitit's signal handlers, in a forked process.

    Slurm signals all processes of an element, and submitit's handler requeues it: each
    worker of a data loader would do so, too.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCONT):
        signal.signal(number, signal.SIG_DFL)


class Submitted(NamedTuple):
    """An element of the array: its number in Slurm, and the log of its errors."""

    number: str
    log: Path


def submitit() -> Any:
    """Import submitit.

    Raises:
        SlurmError: If it is not installed; with the command that installs it.
    """
    try:
        import submitit as module
    except ModuleNotFoundError as error:
        if error.name != "submitit":
            raise
        raise SlurmError(
            "--slurm needs submitit, which is not installed: "
            "pip install 'snnssl_mm[slurm]', or pip install submitit"
        ) from None
    return module


def executor(logs: Path, settings: Mapping[str, Any]) -> Any:
    """Make submitit's executor.

    Args:
        logs: Folder for scripts and logs.
        settings: Options of sbatch, such as ``{'partition': 'gpu', 'time': 60}``.

    Raises:
        SlurmError: If submitit or sbatch is missing.
    """
    module = submitit()
    from submitit.slurm import slurm

    if not module.SlurmExecutor.affinity() > 0:
        raise SlurmError(
            "--slurm needs sbatch and srun, which are not on the PATH; start this on a "
            "machine that submits jobs to Slurm, or leave out --slurm"
        )
    known = set(inspect.signature(slurm._make_sbatch_string).parameters)
    named = {key.replace("-", "_"): value for key, value in settings.items()}
    named["time"] = minutes(str(named.get("time", MINUTES)))
    own = {key: value for key, value in named.items() if key in known}
    other = {key: value for key, value in named.items() if key not in known}
    # Also where the cluster's default is not to requeue preempted jobs.
    own["additional_parameters"] = {
        "requeue": True,
        **own.get("additional_parameters", {}),
        **other,
    }
    if "cpus_per_task" in own:  # since Slurm 22.05 srun does not inherit it
        own.setdefault("srun_args", [f"--cpus-per-task={own['cpus_per_task']}"])
    made = module.SlurmExecutor(folder=logs, max_num_timeout=100)
    made.update_parameters(**{"job_name": "snnssl-transfer", **own})
    return made


def minutes(time: str) -> int:
    """Convert sbatch's forms of a time limit to minutes, rounded up.

    Example:
        >>> minutes("90"), minutes("1:30:00"), minutes("1-2"), minutes("0:30")
        (90, 90, 1560, 1)

    Raises:
        SlurmError: If it is none.
    """
    days, dash, rest = time.rpartition("-")
    try:
        numbers = [int(part) for part in rest.split(":")]
        if dash:  # days-hours[:minutes[:seconds]]
            hours, mins, seconds = [*numbers, 0, 0][:3]
            hours += 24 * int(days)
        elif len(numbers) == 3:
            hours, mins, seconds = numbers
        else:  # minutes[:seconds]
            hours, mins, seconds = 0, *[*numbers, 0][:2]
    except ValueError:
        raise SlurmError(
            f"--slurm time={time} is no time limit; expected minutes, or "
            "days-hours:minutes:seconds as for sbatch"
        ) from None
    return 60 * hours + mins + (seconds > 0)


def submit(made: Any, groups: Sequence[Sequence[Path]]) -> list[Submitted]:
    """Submit an array with one element for each group of folders.

    Raises:
        SlurmError: If sbatch refuses it; with sbatch's own words.
    """
    from submitit.core import utils

    if not groups:
        return []
    folders = [[str(folder.resolve()) for folder in group] for group in groups]
    try:
        jobs = made.map_array(Element(), folders)
    except (utils.FailedJobError, utils.FailedSubmissionError) as error:
        raise SlurmError(f"sbatch refused the jobs: {error}") from None
    elements = [Submitted(job.job_id, job.paths.stderr) for job in jobs]
    for element, group in zip(elements, groups, strict=True):
        about = json.dumps({"number": element.number, "log": str(element.log)})
        for folder in group:
            write_atomically(folder / ELEMENT, about.encode())
    return elements


def submitted_before(groups: Sequence[Sequence[Path]]) -> dict[int, Submitted]:
    """Find the elements that an interrupted command has left in the queue.

    Returns:
        Elements by the index of their group; only of groups that one element executes.

    Raises:
        SlurmError: If Slurm does not answer.
    """
    found = {}
    for index, group in enumerate(groups):
        files = [folder / ELEMENT for folder in group]
        texts = {file.read_text() if file.is_file() else "" for file in files}
        if len(texts) == 1 and (text := texts.pop()):
            about = json.loads(text)
            found[index] = Submitted(about["number"], Path(about["log"]))
    if not found:
        return {}
    queued = in_queue([element.number for element in found.values()])
    if queued is None:
        raise SlurmError(
            "squeue does not answer, so that jobs which an earlier command submitted "
            "may be running; try again later"
        )
    return {index: one for index, one in found.items() if one.number in queued}


def in_queue(numbers: Sequence[str]) -> set[str] | None:
    """Return which elements are pending or running; None if Slurm does not answer.

    ``squeue`` is asked rather than ``sacct``, which needs Slurm's accounting.
    """
    arrays = sorted({number.partition("_")[0] for number in numbers})
    command = ["squeue", "--noheader", "--array", "--format=%i", "--jobs"]
    try:
        done = subprocess.run(
            [*command, ",".join(arrays)], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" in done.stderr:  # all ended a while ago
        return set()
    return None if done.returncode else set(done.stdout.split()) & set(numbers)


def wait(elements: Sequence[Submitted], finished: Any) -> Iterator[tuple[int, bool]]:
    """Yield the index of each element that ended, and whether it has its rows.

    Args:
        elements: The elements.
        finished: Function of an index: whether the element's rows are there.
    """
    missed = dict.fromkeys(range(len(elements)), 0)
    while missed:
        queued = in_queue([elements[index].number for index in missed])
        for index in list(missed):
            if finished(index):
                del missed[index]
                yield index, True
            elif queued is not None and elements[index].number not in queued:
                missed[index] += 1  # its files may be late on a network file system
                if missed[index] > LOST_POLLS:
                    del missed[index]
                    yield index, False
        if missed:
            time.sleep(POLL_SECONDS)


def cancel(elements: Sequence[Submitted]) -> None:
    """Cancel the elements."""
    arrays = sorted({element.number.partition("_")[0] for element in elements})
    subprocess.run(["scancel", *arrays], check=False, capture_output=True)
