"""One kill of each kind; the benchmark does it twenty times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import run_state
from kill_phases import PHASES
from kills import config_text
from mmengine.config import Config

ROOT = Path(__file__).parents[2]


def test_every_epoch_has_a_checkpoint_to_resume_from(tmp_path):
    file = tmp_path / "tiny.py"
    file.write_text(config_text(tmp_path, 5))
    assert Config.fromfile(file).default_hooks.checkpoint.interval == 1


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What ``benchmarks/kills.py --kills 3`` writes, in a process of its own."""
    out = tmp_path_factory.mktemp("kills") / "kills.json"
    line = [ROOT / "benchmarks" / "kills.py", "--kills", 3, "--epochs", 2, "--out", out]
    done = subprocess.run(
        [sys.executable, *map(str, line)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())["rows"]


@pytest.mark.slow
def test_killed_trainings_end_as_the_one_that_lived(rows):
    assert [row["class"] for row in rows] == [*PHASES]
    assert [row["different"] for row in rows] == [[]] * 3
    assert not any(row["left_over"] for row in rows)


@pytest.mark.slow
def test_the_kill_hit_a_half_written_checkpoint(rows):
    (size,) = rows[1]["bytes_of_unfinished"]
    assert size > 0
    assert f"epoch_{rows[1]['index'] + 1}.pth" not in rows[1]["whole_checkpoints"]


def test_the_comparison_sees_a_bit():
    same = run_state.same
    import numpy as np

    one = np.float32([1.0, float("nan")])
    assert same(one, one.copy())
    assert not same(one, np.nextafter(one, 2))
    assert not same(np.float32([0.0]), np.float32([-0.0]))
    assert not same(1, 1.0)
    assert dict(run_state.flat({"a": [1, {"b": 2}]})) == {"/a/0": 1, "/a/1/b": 2}
