"""Slurm: time limits, missing parts, elements that end without a row or remain.

test_slurm_array.py submits to a real cluster.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snnssl_mm.transfer import slurm
from snnssl_mm.transfer.slurm import SlurmError, Submitted


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("1:30:00", 90), ("1-2", 1560), ("1-0:30", 1470), ("0:30", 1)],
)
def test_time_limits(text, expected):
    assert slurm.minutes(text) == expected


@pytest.mark.parametrize("text", ["soon", "1h", "1-x"])
def test_other_time_limits_are_refused(text):
    with pytest.raises(SlurmError, match=text):
        slurm.minutes(text)


def test_a_missing_submitit_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(SlurmError, match="pip install"):
        slurm.executor(tmp_path, {})


@pytest.fixture
def queue(monkeypatch):
    """Answers of squeue, one for each question; the last one stays."""
    answers = []

    def run(command, **_):
        assert command[0] == "squeue"
        code, out = answers.pop(0) if len(answers) > 1 else answers[0]
        error = "slurm_load_jobs error: Invalid job id specified" if code == 1 else ""
        return subprocess.CompletedProcess(command, code, out, error)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0)
    return answers


ELEMENTS = [Submitted(f"8_{index}", Path("log")) for index in range(3)]


def test_elements_end_with_and_without_rows(queue):
    queue += [(0, "8_0\n8_1\n8_2\n"), (2, ""), (0, "8_1\n"), (1, "")]
    rows = {0}
    ended = dict(slurm.wait(ELEMENTS, lambda index: index in rows))
    assert ended == {0: True, 1: False, 2: False}


def test_a_row_that_comes_late_counts(queue):
    queue.append((1, ""))
    asked = []

    def finished(index):
        asked.append(index)
        return asked.count(index) > 3

    assert dict(slurm.wait(ELEMENTS, finished)) == {0: True, 1: True, 2: True}


def test_elements_of_an_interrupted_command_are_found_in_the_queue(queue, tmp_path):
    numbers = {"running": "8_0", "ended": "8_1", "also": "8_0", "other": "9"}
    folders = {name: tmp_path / name for name in [*numbers, "new"]}
    for name, folder in folders.items():
        folder.mkdir()
        if name != "new":
            about = {"number": numbers[name], "log": "log"}
            (folder / slurm.ELEMENT).write_text(json.dumps(about))
    queue.append((0, "8_0\n9\n"))
    names = [("ended",), ("running", "also"), ("new",), ("running", "other")]
    groups = [[folders[name] for name in group] for group in names]
    assert slurm.submitted_before(groups) == {1: Submitted("8_0", Path("log"))}
    queue[:] = [(2, "")]
    with pytest.raises(SlurmError, match="squeue"):
        slurm.submitted_before(groups)
    assert slurm.submitted_before([[folders["new"]]]) == {}


FORK = """
import os, signal
from snnssl_mm.transfer.slurm import drop_handlers

for number in (signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda *_: print("handled", flush=True))
os.register_at_fork(after_in_child=drop_handlers)
if not os.fork():
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGTERM)
_, status = os.wait()
assert os.WTERMSIG(status) == signal.SIGTERM
"""


def test_forked_processes_do_not_requeue_the_element():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_elements_are_requeued_and_their_step_gets_all_processors(
    tmp_path, monkeypatch
):
    pytest.importorskip("submitit")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    made = slurm.executor(tmp_path, {"cpus_per_task": 3, "no-kill": True, "time": 5})
    script = made._make_submission_file_text("python", "id")
    options = {line for line in script.splitlines() if line.startswith("#SBATCH")}
    assert options >= {
        "#SBATCH --requeue",
        "#SBATCH --no-kill",
        "#SBATCH --cpus-per-task=3",
        "#SBATCH --time=5",
    }
    assert "--cpus-per-task=3 python" in script
