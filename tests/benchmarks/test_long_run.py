"""The hour's run, in seconds: a leak is found, steady memory is called flat."""

import json
import sys
from pathlib import Path

import long_run
import numpy as np
import process_watch
import pytest
from matplotlib.image import imread
from mmengine.config import Config
from steadiness import (
    flatness,
    long_run_table,
    robust_slope,
    steadiness,
    warm_up_end,
)

ROOT = Path(__file__).parents[2]

# A training in small: an iteration whenever it was sampled.
STAND_IN = """
import json, pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
leak, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2], "now", "vis_data")
folder.mkdir(parents=True)
kept = [b"0" * 2**26]
with (folder / "scalars.json").open("w") as log:
    for iteration in range(1, 10_000):
        kept.append(b"0" * (leak * 2**20))
        print(json.dumps({"iter": iteration}), file=log, flush=True)
        if iteration == ends:
            sys.exit(3)
        signal.sigwait({signal.SIGUSR1})
"""
LEAK = """
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Leak(Hook):
    kept = []
    def after_train_iter(self, *args, **kwargs):
        self.kept.append(b"0" * 2**24)
"""


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Run the driver; returns the row, or the error's text, and the results file."""

    def run(*more):
        out, work_dir = tmp_path / "long.json", tmp_path / "run"
        where = ["--work-dir", work_dir, "--out", out, "--every", 0]
        start = ["--warm-up", 0, "--warm-up-iterations", 0]
        line = ["long_run.py", *where, "--iterations", 20, *start, *more]
        monkeypatch.setattr(sys, "argv", [*map(str, line)])
        monkeypatch.setattr(long_run.signal, "signal", lambda *_: None)
        try:
            long_run.main()
        except SystemExit as stop:
            said = str(stop.code)
        else:
            said = ""
        rows = json.loads(out.read_text())["rows"] if out.exists() else [None]
        return rows[0], said, out

    return run


@pytest.fixture
def stand_in(monkeypatch):
    """Watch the stand-in instead of a training."""

    def choose(leak, ends=0):
        code = STAND_IN.replace("ends", str(ends))
        monkeypatch.setattr(
            long_run,
            "train_command",
            lambda args: [sys.executable, "-c", code, str(leak), str(args.work_dir)],
        )

        def sample(process, work_dir):
            found = process_watch.sample(process, work_dir)
            process.send_signal(long_run.signal.SIGUSR1)
            return found

        monkeypatch.setattr(long_run, "sample", sample)

    return choose


def test_steady_memory_is_flat(watch, stand_in):
    stand_in(leak=0)
    row, said, out = watch()
    assert said == ""
    assert row["flat"]
    assert row["flatness"] < 0.02
    assert row["iterations"] >= 20
    assert {len(values) for values in row["series"].values()} == {row["samples"]}
    assert min(row["series"]["open_files"]) > 0
    assert min(row["series"]["disk_mib"]) >= 0
    assert (imread(out.with_suffix(".png"))[..., :3] == 1).all(axis=-1).mean() > 0.5


def test_leak_of_a_mebibyte_an_iteration_is_found(watch, stand_in):
    stand_in(leak=1)
    row, said, _ = watch()
    assert not row["flat"]
    assert row["slope_mib_per_hour"] > 100
    assert "resident memory moved by" in said
    memory = row["series"]["rss_mib"]
    assert memory[-1] - memory[0] == pytest.approx(row["iterations"] - 1, abs=2)


@pytest.mark.slow
def test_leak_in_a_real_training_is_found(watch, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "leaking.py").write_text(LEAK)
    cfg = Config.fromfile(tiny_config)
    cfg.custom_imports = dict(imports=["leaking"])
    cfg.custom_hooks = [dict(type="Leak")]
    cfg.dump(tiny_config)
    row, said, _ = watch(
        *("--config", tiny_config, "--workers", 1, "--iterations", 10, "--every", 0.05)
    )
    assert "resident memory moved by" in said
    assert not row["flat"]
    assert row["series"]["rss_mib"][-1] - row["series"]["rss_mib"][0] > 40


def test_training_that_ends_early_is_an_error(watch, stand_in):
    stand_in(leak=0, ends=5)
    row, said, _ = watch()
    assert row is None
    assert "ended with status 3 after" in said
    assert "see" in said


def test_second_run_in_a_work_directory_is_refused(watch, stand_in):
    stand_in(leak=0)
    watch()
    assert "earlier run" in watch()[1]


def series(memory):
    return {"seconds": np.arange(len(memory)) * 10.0, "rss_mib": memory}


def test_peaks_move_the_flatness_but_not_the_slope():
    rng = np.random.default_rng(0)
    steady = 1000 + rng.normal(0, 0.5, 400)
    found = steadiness(series(steady), 400)
    assert found["flat"]
    assert abs(found["slope_mib_per_hour"]) < 2
    steady[200] = 1100
    found = steadiness(series(steady), 400)
    assert not found["flat"]
    assert found["flatness"] == pytest.approx(0.1, abs=0.005)
    assert abs(found["slope_mib_per_hour"]) < 2


def test_slope_of_a_line_and_flatness():
    times = np.array([0.0, 1, 2, 5, 9])
    assert robust_slope(times, 3 * times - 1) == pytest.approx(3)
    assert flatness([9, 10, 11]) == pytest.approx(0.2)


def test_warm_up_is_left_out():
    memory = np.concatenate([np.linspace(500, 1000, 40), np.full(361, 1000.0)])
    found = {**series(memory), "iterations": np.arange(401) // 2}
    assert warm_up_end(found, 0.1, 0) == 400
    assert warm_up_end(found, 0.05, 20) == 400
    assert warm_up_end(found, 0.05, 1000) == 4000
    assert steadiness(found, 400)["flatness"] == 0
    assert not steadiness(found, 200)["flat"]
    with pytest.raises(ValueError, match=r"\b1\b.*\b4000\b"):
        steadiness(found, 4000)


def test_table_shows_what_came_after_the_warm_up():
    names = ("rss_mib", "open_files", "threads", "disk_mib")
    row = {
        **dict(config="a/net.py", minutes=0.5, iterations=1234, warm_up_minutes=0.25),
        **dict(flatness=0.0123, slope_mib_per_hour=-0.5),
        "series": {"seconds": [0, 15, 30], **{name: [1, 8, 9] for name in names}},
    }
    (line,) = long_run_table([row]).rows
    assert line[:5] == [
        "net",
        "0.5 minutes, 1,234 iterations",
        "8 to 9 MiB",
        "1.2 %",
        "-0.5 MiB/h",
    ]
