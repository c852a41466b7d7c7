"""The long fuzzing counts what it tried and fails if a property does not hold."""

import json
import subprocess
import sys
from pathlib import Path

from fault_tables import fuzz_table, kills_table

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROFILE = """
import hypothesis
hypothesis.settings.register_profile("few", max_examples=7, database=None)
"""
PROPERTIES = """
from hypothesis import given, strategies as st

@given(st.integers())
def test_holds(x):
    assert x == x

@given(st.integers(0, 3))
def test_does_not_hold(x):
    assert x < 0
"""


def test_inputs_and_failures_are_counted(tmp_path):
    (tmp_path / "conftest.py").write_text(PROFILE)
    (tmp_path / "test_numbers.py").write_text(PROPERTIES)
    code = f"""if True:
    import sys
    sys.path.insert(0, {str(BENCHMARKS)!r})
    sys.argv = ["fuzz.py", "--profile", "few", "--out", "fuzz.json"]
    import fuzz
    from pathlib import Path
    fuzz.ROOT, fuzz.FUZZED = Path.cwd(), {{"test_numbers.py": "numbers"}}
    fuzz.main()
    """
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    (row,) = json.loads((tmp_path / "fuzz.json").read_text())["rows"]
    assert row["tests"] == {"passed": 1, "failed": 1}
    assert row["inputs"] > 7  # those of the first, and at least one of the second
    assert fuzz_table([row]).rows[0][:5] == [
        *("numbers", "`test_numbers.py`", "2", str(row["inputs"]), "1")
    ]


def test_a_kill_that_cost_something_is_not_hidden():
    whole = {
        "class": "checkpoint",
        "bytes_of_unfinished": [5],
        "resumed_from": "epoch_1.pth",
        "equal": True,
    }
    lost = {**whole, "resumed_from": "the beginning", "equal": False}
    other = {**whole, "class": "iteration", "bytes_of_unfinished": []}
    assert kills_table([whole, lost, other]).rows == [
        ["checkpoint", "2", "2", "1", "1", "1 of 2"],
        ["iteration", "1", "0", "1", "0", "1 of 1"],
    ]
