"""The monitor of representation health: its results, and no effect on training."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from monitors import without_monitors

from snnssl_mm.analysis.unseen_views import unseen_views
from snnssl_mm.engine import RepresentationHealthHook
from snnssl_mm.engine.hooks.epoch_results import open_epoch_results
from snnssl_mm.probing import load_trained_model
from snnssl_mm.recording.representation_health import MEASURES, representation_health
from snnssl_mm.recording.two_views import two_view_batches

HOOK = dict(type="snnssl_mm.RepresentationHealthHook", num_images=16)


@pytest.fixture
def train(tiny_config, run_tool, tmp_path):
    """Train two epochs with the given hooks only; return the work directory."""
    cfg = Config.fromfile(tiny_config)

    def run(name, *hooks, resume=(), **changes):
        without_monitors(cfg)  # such as EpochSeedHook, which would hide a draw
        cfg.custom_hooks = list(hooks)
        cfg.merge_from_dict({"model.backbone.time_steps": 2, **changes})
        file = tmp_path / f"{name}.py"
        cfg.dump(file)
        run_tool("train", file, "--work-dir", tmp_path / name, *resume)
        return tmp_path / name

    return run


def state(work_dir, epoch=2):
    file = work_dir / f"epoch_{epoch}.pth"
    return torch.load(file, map_location="cpu", weights_only=False)["state_dict"]


def rows_of(work_dir):
    report = json.loads((work_dir / "health.json").read_text())
    assert report["what"] == "training_health"
    return report["rows"]


def test_training_is_the_same_to_the_bit_with_it(train):
    without, watched = train("without"), train("watched", HOOK)
    expected = state(without)
    for name, tensor in state(watched).items():
        assert torch.equal(tensor, expected[name]), name


def test_rows_are_those_of_the_checkpoints(train, tmp_path):
    work_dir = train("run", HOOK)
    rows = rows_of(work_dir)
    assert [row["epoch"] for row in rows] == [1, 2]
    cfg = Config.fromfile(tmp_path / "run.py")
    cfg.eval_test_dataloader = None  # the training images, as in training
    views = unseen_views(cfg)
    for row in rows:
        assert row["images"] == 16
        model = load_trained_model(cfg, str(work_dir / f"epoch_{row['epoch']}.pth"))
        batches = two_view_batches(views.dataset, views.collate, 16)
        health = representation_health(model, batches)
        for kind in ("backbone", "embedding"):
            for measure in MEASURES:
                name = f"{kind}/{measure}"
                assert row[name] == pytest.approx(health[name], rel=1e-4, abs=1e-6)
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    logged = [json.loads(line) for line in log.open()]
    scalars = [line for line in logged if "health/backbone/rankme" in line]
    assert [line["step"] for line in scalars] == [1, 2]
    assert len([name for name in scalars[0] if name.startswith("health/")]) == 14


def test_interval_and_resume(train):
    often = dict(HOOK, interval=2)
    work_dir = train("run", often, **{"train_cfg.max_epochs": 3})
    first = rows_of(work_dir)
    assert [row["epoch"] for row in first] == [2, 3], "every second, and the last"
    train("run", often, resume=["--resume", work_dir / "epoch_2.pth"])
    assert [row["epoch"] for row in rows_of(work_dir)] == [2, 3]
    assert rows_of(work_dir)[0] == first[0]


def test_rows_of_repeated_epochs_are_dropped(tmp_path):
    def opened(epoch):
        runner = SimpleNamespace(work_dir=str(tmp_path), epoch=epoch)
        return open_epoch_results(runner, "health.json", "training_health")

    results = opened(0)
    for epoch in (1, 2, 3):
        results.append({"epoch": epoch})
    opened(3)
    assert [row["epoch"] for row in rows_of(tmp_path)] == [1, 2, 3]
    opened(1)
    assert [row["epoch"] for row in rows_of(tmp_path)] == [1]
    opened(0)
    assert rows_of(tmp_path) == []


def test_collapse_is_warned_of(train):
    """Train with learning rate 0 and a projector whose output is always 0."""
    changes = {"model.neck.num_layers": 2, "optim_wrapper.optimizer.lr": 0.0}
    init = dict(type="Constant", layer="Linear", val=0.0)
    work_dir = train("run", HOOK, **changes, **{"model.neck.init_cfg": [init]})
    (log,) = work_dir.glob("*/*.log")
    text = log.read_text()
    assert re.search(r"WARNING - .*epoch 1\b.*RankMe.* 0\.00", text)


@pytest.mark.parametrize("options", [dict(interval=0), dict(num_images=1)])
def test_options_out_of_range_are_refused(options):
    (setting,) = options.items()
    with pytest.raises(ValueError, match="{}={}".format(*setting)):
        RepresentationHealthHook(**options)
