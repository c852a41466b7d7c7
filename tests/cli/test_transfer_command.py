"""snnssl transfer: rows for every job, none lost and none computed again."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from mmengine.runner import IterBasedTrainLoop

from snnssl_mm.cli.shared import children, parallel
from snnssl_mm.recording.file_lock import single_writer
from snnssl_mm.transfer import execution
from snnssl_mm.transfer.jobs import JOB, ROW

TASKS = """
pretraining = {pretraining!r}
seeds = [0, 1]
tasks = dict(
    knn=dict(probe='knn'),
    few=dict(probe='linear', fractions=[0.25, 1.0]),
    seg=dict(
        config={segmentation!r}, metrics={{'mIoU': 'mIoU'}}, fractions=[0.5, 1.0]))
"""


@pytest.fixture
def suite(tiny_config, task, tmp_path):
    """Suite file of two probes and a segmentor."""
    file = tmp_path / "tiny_suite.py"
    config = str(task("segmentation").config)
    file.write_text(TASKS.format(pretraining=str(tiny_config), segmentation=config))
    return file


@pytest.fixture
def executed(monkeypatch, run_tool):
    """Jobs that were executed, in this process, by a stub that knows the answer."""
    folders = []

    def execute(folder):
        folders.append(folder)
        job = json.loads((folder / JOB).read_text())
        metrics = dict.fromkeys(job["metrics"], 0.5)
        row = {**job["row"], "metrics": metrics, "curve": [], "seconds": 1.0}
        row["labelled_images"] = round(100 * row["fraction"])
        (folder / ROW).write_text(json.dumps(row))

    def run_child(command, *_, **__):
        assert command[:2] == ["transfer", "--execute"]
        execution.execute_all(list(map(Path, command[2:])))

    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr(children, "run_child", run_child)
    return folders


@pytest.fixture
def transfer(run_tool, suite, tmp_path, monkeypatch):
    """Run the command; return the rows by their keys."""
    monkeypatch.chdir(tmp_path)

    def run(*words, name=suite):
        run_tool("transfer", "--suite", name, "--work-dir", "runs", "--jobs", 1, *words)
        report = json.loads(Path("runs/tiny_suite.json").read_text())
        keys = [
            (row["task"], row["entry"], row["seed"], row["fraction"])
            for row in report["rows"]
        ]
        assert len(set(keys)) == len(keys), "no row twice"
        return dict(zip(keys, report["rows"], strict=True))

    return run


WIDER = "seg:model.backbone.arch.embed_dims=32"
PROBES = ("--tasks", "knn", "few")


def test_interrupted_runs_lose_and_repeat_nothing(
    transfer, executed, checkpoint, monkeypatch, capsys
):
    inner = execution.execute

    def stop_at_the_fifth(folder):
        if len(executed) == 4:
            raise KeyboardInterrupt
        inner(folder)

    with monkeypatch.context() as patch:
        patch.setattr(execution, "execute", stop_at_the_fifth)
        with pytest.raises(SystemExit) as stop:
            transfer(f"ctl={checkpoint}", *PROBES)
        assert stop.value.code == 130
    assert len(executed) == 4
    rows = transfer(f"ctl={checkpoint}", *PROBES)
    assert len(rows) == len(executed) == len(set(executed)) == 12
    assert {row["suite"] for row in rows.values()} == {"tiny_suite"}
    capsys.readouterr()
    assert transfer(f"ctl={checkpoint}", *PROBES) == rows
    assert len(executed) == 12
    assert "50.0" in capsys.readouterr().out  # in the table
    assert "tiny_suite" in Path("runs/tiny_suite.html").read_text()


def test_only_some_fractions(transfer, executed, checkpoint):
    rows = transfer(f"ctl={checkpoint}", *PROBES, "--fractions", "0.25")
    assert {(task, fraction) for task, _, _, fraction in rows} == {("few", 0.25)}


def test_rows_in_folders_are_collected_and_changes_recomputed(
    transfer, executed, checkpoint, tmp_path
):
    words = (f"ctl={checkpoint}", "--tasks", "knn")
    first = transfer(*words)
    (tmp_path / "runs/tiny_suite.json").unlink()
    assert transfer(*words) == first
    assert len(executed) == 4
    other = transfer(*words, "--cfg-options", "knn:model.backbone.time_steps=2")
    assert len(executed) == 8
    assert {key: row["digest"] for key, row in other.items()} != {
        key: row["digest"] for key, row in first.items()
    }
    assert transfer(*words) == first, "the former settings have rows in their folders"
    assert len(executed) == 8


def test_a_new_column_is_filled(transfer, executed, checkpoint, suite):
    words = (f"ctl={checkpoint}", "--tasks", "knn")
    first = transfer(*words)
    columns = "probe='knn', metrics={'top-1': 'top1', 'top-5': 'top5'}"
    suite.write_text(suite.read_text().replace("probe='knn'", columns))
    second = transfer(*words)
    assert executed == executed[:4] * 2, "the same folders"
    for key, row in second.items():
        assert set(row["metrics"]) == {"top-1", "top-5"}
        assert row["digest"] == first[key]["digest"]


def test_a_job_that_fails_does_not_stop_the_others(transfer, executed, checkpoint):
    def run_child(command, log, **_):
        if "random" in command[2]:
            raise children.ChildError(f"failed, see {log}")
        execution.execute_all(list(map(Path, command[2:])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "run_child", run_child)
        with pytest.raises(SystemExit, match=r"output\.txt"):
            transfer(f"ctl={checkpoint}", "--tasks", "knn")
    assert len(transfer(f"ctl={checkpoint}", "--tasks", "knn")) == 4
    assert len(executed) == 4


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--suite", "digit"], "digits"),
        (["--tasks", "boxes"], "boxes"),
        (["--cfg-options", "box:lr=1"], "box"),
        (["--cfg-options", "modell.lr=1"], "model"),
        (["ctl=/nowhere/a.pth"], "/nowhere/a"),
        (["ctl=b.pth", "--seeds", "1"], "2 checkpoints"),
        (["--data", "/nowhere", "--tasks", "knn"], "data_root"),
        (["--data", "box=/nowhere"], "box"),
        (["--slurm", "time=soon", "--tasks", "knn"], "submitit|sbatch|soon"),
        (["--out", "/proc/a.json"], "/proc/a"),
        (["--cfg-options", WIDER], "task seg .* checkpoint ctl"),
    ],
)
def test_bad_input_is_refused_before_any_job(
    transfer, executed, checkpoint, words, named
):
    shutil.copy(checkpoint, "b.pth")
    with pytest.raises(SystemExit, match=named):
        transfer(f"ctl={checkpoint}", *words)
    assert executed == []


def test_no_checkpoint_is_refused(transfer, executed):
    with pytest.raises(SystemExit, match="no checkpoint"):
        transfer()


def hold(results, pipe):
    """Write to the results file, as another run, until it is killed."""
    with single_writer(results):
        pipe.send("held")
        pipe.recv()


def test_a_second_run_on_one_file_is_refused(transfer, executed, checkpoint, tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    out = tmp_path / "runs" / "tiny_suite.json"
    other = context.Process(target=hold, args=(out, theirs))
    other.start()
    assert ours.recv() == "held"
    words = (f"ctl={checkpoint}", "--tasks", "knn")
    try:
        with pytest.raises(SystemExit, match=f"{out.name}.* {other.pid}"):
            transfer(*words)
        assert executed == []
    finally:
        other.kill()
        other.join()
    assert len(transfer(*words)) == 4, "a killed run blocks nobody"


def test_gpus_are_divided_among_the_runs(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 8)
    places = parallel.places(4, ["2", "GPU-x"])
    assert [place.gpu for place in places] == ["2", "GPU-x"] * 2
    env = places[1].environment()
    assert (env["OMP_NUM_THREADS"], env["CUDA_VISIBLE_DEVICES"]) == ("2", "GPU-x")


@pytest.fixture
def trained(monkeypatch, run_tool):
    """Execute jobs for real, in this process."""
    monkeypatch.setattr(children, "run_child", lambda words, *_, **__: run_tool(*words))


def test_probes_and_a_training_end_to_end(transfer, trained, checkpoint, task):
    rows = transfer(f"ctl={checkpoint}", "--seeds", 3, *PROBES)
    assert set(rows) == {
        (name, entry, 3, fraction)
        for entry in ("ctl", "random")
        for name, fraction in (("knn", 1.0), ("few", 0.25), ("few", 1.0))
    }
    for (name, _, _, fraction), row in rows.items():
        assert 0 <= row["metrics"]["top-1"] <= 1
        assert row["labelled_images"] < 64 if fraction < 1 else 64, name
        assert row["curve"] == []
    segmentor = task("segmentation").root / "random.pth"
    shutil.copy(segmentor, "seg.pth")
    limit = ("--tasks", "seg", "--seeds", 3, "--cfg-options", "seg:resume=False")
    with pytest.raises(SystemExit, match="segmentor"):  # trained with labels
        transfer("ctl=seg.pth", *limit)


def test_metrics_under_another_name_cost_no_training(
    transfer, trained, task, weights, suite, monkeypatch
):
    text = f"{suite.read_text()}baselines = []\n"
    suite.write_text(text)
    words = (f"ctl={weights(task('segmentation').config)}", "--tasks", "seg")
    words += ("--seeds", 3, "--fractions", 1)
    first = transfer(*words)
    suite.write_text(text.replace("'mIoU': 'mIoU'", "'mIoU': 'aAcc'"))
    monkeypatch.delattr(IterBasedTrainLoop, "run_iter")  # a step would fail
    second = transfer(*words)
    assert len(second) == 1
    for key, row in second.items():
        assert row["metric_keys"] == {"mIoU": ["aAcc", 0.01]}
        assert row["metrics"] != first[key]["metrics"]
        same = ("digest", "seconds", "labelled_images")
        assert [row[name] for name in same] == [first[key][name] for name in same]


def test_a_training_has_a_curve(transfer, trained, task, weights):
    file = weights(task("segmentation").config)
    words = (
        "--tasks",
        "seg",
        "--seeds",
        3,
        "--cfg-options",
        "train_cfg.val_interval=1",
    )
    rows = transfer(f"ctl={file}", *words)
    assert len(rows) == 4
    for (_, entry, _, fraction), row in rows.items():
        assert row["labelled_images"] == 4 * fraction
        assert [point["step"] for point in row["curve"]] == [1, 2]
        assert row["curve"][-1]["metrics"] == row["metrics"]
        assert 0 < row["curve"][0]["seconds"] <= row["seconds"]
        assert (row["sha256"] is None) == (entry == "random")
