"""Commands on recordings: pretraining, probes, measurements, pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from simulated_recordings import write_events_config

from snnssl_mm.probing import probe_configs

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
