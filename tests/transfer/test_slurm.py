"""Slurm: time limits, missing parts, elements that end without a row."""

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
