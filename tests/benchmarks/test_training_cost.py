"""What losses cost: equal values first, ratios within rounds, bad input first."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import training_cost
from matplotlib.image import imread
from training_cost_table import training_cost_table

ROOT = Path(__file__).parents[2]
ARCH = "dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Set the command line: a small network and eight images; returns the file."""
    for index in range(8):
        file = tmp_path / "images" / "train" / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)
        cv2.imwrite(str(file), pixels)
    config = tmp_path / "tiny.py"
    config.write_text(
        f"_base_ = '{ROOT}/{training_cost.CONFIG}'\n"
        f"model = dict(backbone=dict(arch={ARCH}), "
        "neck=dict(in_channels=16, hid_channels=16, out_channels=8))\n"
    )
    out = tmp_path / "cost.json"
    monkeypatch.setattr(training_cost, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(training_cost, "run_child", lambda *_: {"mib": 3.0})

    def arguments(*more):
        where = [tmp_path / "images", "--config", config, "--out", out]
        size = ["--batch-size", 4, "--dims", 8, "--rounds", 2]
        line = map(str, ["training_cost.py", *where, *size, *more])
        monkeypatch.setattr(sys, "argv", list(line))
        return out

    return arguments


@pytest.mark.slow
def test_every_loss_is_timed_and_beside_the_flat_one(job):
    out = job()
    training_cost.main()
    (row,) = json.loads(out.read_text())["rows"]
    assert list(row["losses"]) == [*training_cost.NAMES]
    assert row["pairwise_differs_by"] < 1e-5
    for name, side in row["losses"].items():
        assert side["seconds"]["median"] > 0
        if name == "time-flattened":
            assert side["times_flattened"]["median"] == 1.0
    assert (imread(out.with_suffix(".png"))[..., :3] == 1).all(axis=-1).mean() > 0.5


def test_ctl_and_its_pairwise_form_train_alike(job):
    job()
    losses = []
    for name in ("CTL", training_cost.PAIRWISE):
        cfg, model, views = training_cost.prepare(training_cost.parse_args())
        step = training_cost.training_step(cfg, model, views, name)
        losses.append([step() for _ in range(3)])
    torch.testing.assert_close(*losses, rtol=1e-2, atol=0)
    assert losses[0][2] != losses[0][0], "the weights change"


def test_different_values_stop_before_anything_is_timed(job, monkeypatch):
    job()
    monkeypatch.setitem(
        training_cost.LOSSES, "CTL", training_cost.LOSSES["time-flattened"]
    )
    with pytest.raises(AssertionError, match="losses"):
        training_cost.main()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--batch-size", "1"], "--batch-size.*got 1"),
        (["--out", "/proc/cost.json"], "/proc/cost.json"),
    ],
)
def test_bad_input_is_a_sentence(job, more, message):
    job(*more)
    with pytest.raises(SystemExit, match=message):
        training_cost.main()


def test_missing_images_are_a_sentence(job, tmp_path):
    job()
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match=r"error: .*images"):
        training_cost.main()


def test_table_has_a_line_for_every_network_and_loss():
    side = {
        "seconds": {"median": 0.25},
        "times_flattened": {"median": 1.5, "quartiles": [1.25, 2.0]},
        "peak_mib": 1234,
    }
    row = {"config": "a/net.py", "batch_size": 64, "time_steps": 4, "dims": 1024}
    table = training_cost_table([row | {"losses": {"CTL": side}}] * 2)
    assert len(table.rows) == 2
    assert table.rows[0] == [
        "net, B = 64, T = 4, D = 1024",
        "CTL",
        "0.25 s",
        "1.50 (1.25 to 2.00)",
        "1,234 MiB",
    ]
