"""Commands on recordings: pretraining, probes, measurements, pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_recordings import write_recordings
from matplotlib.image import imread
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image
from simulated_recordings import write_events_config

from snnssl_mm.cli.shared import children
from snnssl_mm.probing import probe_configs
from snnssl_mm.transfer import execution

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def job(tmp_path_factory, run_tool):
    """Config and checkpoint of two iterations on simulated recordings."""
    folder = tmp_path_factory.mktemp("events")
    config = write_events_config(folder / "events.py", ROOT)
    run_tool("train", config, "--work-dir", folder / "run")
    return config, folder / "run" / "epoch_1.pth"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probe_configs, "MIN_EPOCH", 1)


def rows(file):
    return json.loads(Path(file).read_text())["rows"]


def test_hooks_measure_during_pretraining(job):
    found = {
        (row["probe"], row["start"]): row["top1"]
        for row in rows(job[1].parent / "probes.json")
    }
    assert set(found) == {
        (probe, start)
        for probe in ("knn", "linear")
        for start in ("pretrained", "random", "pixels")
    }
    # Events are in one half of the sensor, which pixels tell without any network.
    assert found["linear", "pixels"] == 1
    assert rows(job[1].parent / "health.json")[0]["images"] == 32


def test_every_probe_takes_clips(job, run_tool):
    probes = ["knn", "linear", "linear-augmented", "semi-10pct", "finetune"]
    run_tool("probe", *job, "--probes", *probes, "--out", "probes.json")
    found = rows("probes.json")
    assert {row["probe"] for row in found} == set(probes)
    assert all(0 <= row["top1"] <= 1 for row in found)


def test_measurements_take_clips(job, run_tool):
    run_tool("measure firing-rates", *job, "--images", 8, "--out", "rates.json")
    (row,) = rows("rates.json")
    assert row["images_used"] == 8
    assert {len(layer["rates"]) for layer in row["layers"]} == {4}
    run_tool("measure energy", *job, "--images", 8, "--out", "energy.json")
    (row,) = rows("energy.json")
    assert row["time_steps"] == 4
    run_tool("measure health", *job, "--out", "health.json")
    assert rows("health.json")


def test_time_steps_of_the_pipeline_are_swept(job, run_tool):
    options = ["--latency-seconds", 0.01, "--out", "t.json"]
    run_tool("measure time-steps", *job, "--time-steps", 1, 3, *options)
    found = {row["time_steps"]: row for row in rows("t.json")}
    assert sorted(found) == [1, 3]
    assert {row["trained_at"] for row in found.values()} == {4}
    # All layers, the first one too, run at each step.
    energies = [found[steps]["energy_uj"]["integers_as_macs"] for steps in (1, 3)]
    assert energies[1] / energies[0] == pytest.approx(3, rel=0.3)


def test_browse_shows_recordings_and_views(job, run_tool):
    run_tool("browse", job[0], "--num", 2, "--out", "browse.png")
    picture = imread("browse.png")[..., :3]
    red, blue = (picture[..., a] - picture[..., b] > 0.3 for a, b in ((0, 2), (2, 0)))
    assert red.mean() > 0.01
    assert blue.mean() > 0.01


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_recordings_are_animated(job, run_tool, suffix):
    out = f"recording{suffix}"
    options = ["--index", 1, "--frames", 10, "--seconds", 0.5, "--out", out]
    run_tool("draw recording", job[0], *options)
    with Image.open(out) as animation:
        assert animation.n_frames == 10
        frames = []
        for index in range(10):
            animation.seek(index)
            assert animation.info["duration"] == 50
            frames.append(np.asarray(animation.convert("RGB")))
    left, right = np.split(np.stack(frames), 2, axis=2)
    assert len(np.unique(left[:, :300].reshape(-1, 3), axis=0)) == 1  # no event
    assert len(np.unique(right[:, :300].reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--index", 99], "32 recordings"),
        (["--loader", "val"], "val_dataloader"),
    ],
)
def test_recordings_that_do_not_exist(job, run_tool, options, message):
    with pytest.raises(SystemExit, match=message):
        run_tool("draw recording", job[0], *options)


@pytest.mark.parametrize("kind", ["spike-raster", "embedding", "neighbours"])
def test_pictures_of_features_and_spikes(job, run_tool, kind):
    run_tool(f"draw {kind}", *job, "--out", f"{kind}.png")
    assert imread(f"{kind}.png").std() > 0.01


def test_the_suite_of_nmnist_counts_labels_a_class(tmp_path, run_tool, monkeypatch):
    def run_child(command, *_, **__):  # in this process
        execution.execute_all(list(map(Path, command[2:])))

    monkeypatch.setattr(children, "run_child", run_child)
    for label, number in enumerate((12, 15)):
        names = [f"Train/{label}/{index}.bin" for index in range(number)]
        write_recordings(tmp_path / "few", [*names, f"Test/{label}/a.bin"])
    cfg = Config.fromfile(ROOT / "configs" / "selfsup" / "spikformer_ctl_nmnist.py")
    torch.save(MODELS.build(cfg.model).state_dict(), "random.pth")
    run_tool(
        *("transfer", "ctl=random.pth", "--suite", "nmnist", "--data", "few"),
        *("--fractions", 10, 1, "--seeds", 0, "--jobs", 1, "--out", "nmnist.json"),
    )
    found = {
        (row["task"], row["entry"], row["fraction"]): row["labelled_images"]
        for row in rows("nmnist.json")
    }
    assert found == {
        (task, entry, share): images
        for task in ("knn", "linear")
        for entry in ("ctl", "random", "pixels")
        for share, images in ((10, 20), (1, 27))
    }


@pytest.fixture
def stock_classifier(tmp_path):
    """Config and random weights of a classifier whose clips are not time-first."""
    cfg = Config.fromfile(ROOT / "configs/classification/spikformer_linear_events.py")
    cfg.model.data_preprocessor = dict(type="ClsDataPreprocessor")
    cfg.model.head.num_classes = 2
    cfg.model.backbone.init_cfg = None
    frames = dict(type="snnssl_mm.EventFrames", time_steps=4, size=(32, 32))
    cfg.test_dataloader.dataset = dict(
        type="SimulatedRecordings", pipeline=[frames, dict(type="PackInputs")]
    )
    cfg.dump(tmp_path / "stock.py")
    weights = {"state_dict": MODELS.build(cfg.model).state_dict()}
    torch.save(weights, tmp_path / "stock.pth")
    return tmp_path / "stock.py", tmp_path / "stock.pth"


@pytest.mark.parametrize("command", ["test", "measure energy", "measure firing-rates"])
def test_clips_of_stock_classifiers_are_refused(stock_classifier, run_tool, command):
    with pytest.raises((SystemExit, ValueError), match="ClipDataPreprocessor"):
        run_tool(command, *stock_classifier)


def test_pictures_are_not_predicted_by_a_network_of_recordings(job, run_tool):
    config = ROOT / "configs" / "classification" / "spikformer_linear_events.py"
    with pytest.raises(SystemExit, match="test_dataloader"):
        run_tool("infer", config, job[1], ".")
    with pytest.raises(SystemExit, match="downstream"):
        run_tool("measure time-steps", config, job[1], "--time-steps", 2)
