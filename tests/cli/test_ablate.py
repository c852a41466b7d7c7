"""snnssl ablate: every kind of run gives a row, and rows are not computed again."""

import copy
import json

import pytest
from mmengine.config import Config

from snnssl_mm.ablation.cells import Cell
from snnssl_mm.cli.ablate import Task
from snnssl_mm.cli.shared import children


@pytest.fixture
def ablate(run_tool, tiny_config, tmp_path):
    """Run a grid of the tiny job; return the rows by neuron."""

    def run(*grid):
        where = ("--work-dir", tmp_path / "runs", "--jobs", 1, "--seeds", 3)
        run_tool("ablate", "--config", tiny_config, *where, *grid)
        report = json.loads((tmp_path / "runs" / "ablation.json").read_text())
        rows = [row for row in report["rows"] if row["config"] == str(tiny_config)]
        return {row["neuron"]: row for row in rows}

    return run


@pytest.mark.slow
def test_a_grid_that_goes_on(ablate, started, tmp_path, capsys):
    """Nothing spikes if both views take the analog path; the row shows it."""
    first = ablate("--grid", "neuron=analog")
    assert first["analog"]["firing_rate"] is None
    assert started == ["train", "ablate"]
    file = tmp_path / "runs" / "ablation.json"
    report = json.loads(file.read_text())
    report["rows"].append({**first["analog"], "config": "another.py", "loss": "flat"})
    file.write_text(json.dumps(report))
    capsys.readouterr()
    both = ablate("--grid", "neuron=analog,mixed")
    assert "flat" not in capsys.readouterr().out, "rows of another config are not shown"
    assert both["analog"] == first["analog"]
    assert 0 <= both["mixed"]["firing_rate"] <= 1
    assert started == ["train", "ablate"] * 2
    for row in both.values():
        assert row["seed"] == 3
        assert row["epochs"] == 2
        for statistics in ("recalibrated", "trained"):
            assert all(0 <= value <= 1 for value in row[statistics].values())
    assert (tmp_path / "runs" / "ablation.png").exists()


def test_rows_are_of_one_precision_and_of_their_settings(tiny_config):
    cfg = Config.fromfile(tiny_config)
    task = Task("a.py", False, Cell(), 0, cfg)
    row = {"config": "a.py", "amp": False, "seed": 0, **Cell()._asdict()}
    assert task.accepts(row), "older rows have no digest"
    assert task.accepts({**row, "digest": task.digest})
    assert not task._replace(amp=True).accepts(row)
    assert not task._replace(seed=1).accepts(row)
    changed = copy.deepcopy(cfg)
    changed.optim_wrapper.optimizer.lr *= 2
    assert not task._replace(cfg=changed).accepts({**row, "digest": task.digest})


@pytest.mark.slow
def test_other_objectives_give_rows_with_their_costs(
    run_tool, tiny_config, tmp_path, started, capsys
):
    """One with a teacher and one without a second view."""
    where = ("--work-dir", tmp_path, "--jobs", 1, "--seeds", 3, "--grid")
    for _ in range(2):
        run_tool("ablate", "--config", tiny_config, *where, "loss=byol,mae time=mean")
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    assert [(row["loss"], row["time"]) for row in rows] == [
        ("byol", "mean"),
        ("mae", "default"),
    ]
    assert started == ["train", "ablate"] * 2, "the second time nothing is left"
    for row in rows:
        assert row["embedding_std"] > 0
        assert 0 <= row["recalibrated"]["knn"] <= 1


def test_a_run_that_fails_is_named(ablate, monkeypatch):
    def run_child(command, log, **_):
        raise children.ChildError(f"failed, see {log}")

    monkeypatch.setattr(children, "run_child", run_child)
    with pytest.raises(SystemExit, match=r"output\.txt"):
        ablate("--grid", "neuron=lif")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--grid", "neuron=quantum"), "neuron.*'quantum'"),
        (("--jobs", 0), "^2$"),
        (("--out", "/proc/a.json"), r"/proc/a\.json"),
    ],
)
def test_bad_input_is_refused(ablate, started, more, message):
    with pytest.raises(SystemExit, match=message):
        ablate(*more)
    assert started == []
