"""--data: labelled images for a pretraining whose config has none."""

import json

import pytest
from mmengine.config import Config

from snnssl_mm.cli.report import current_rows
from snnssl_mm.cli.shared import children


@pytest.fixture
def unlabelled(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.eval_train_dataloader = cfg.eval_test_dataloader = None
    cfg.dump(tiny_config)
    return tiny_config


def test_a_pretraining_is_evaluated_on_them(
    run_tool, unlabelled, checkpoint, pets, tmp_path
):
    out = tmp_path / "probes.json"
    run_tool("test", unlabelled, checkpoint, "--data", pets, "--out", out)
    assert json.loads(out.read_text())["pixels"]["linear"] == 1


def test_without_them_the_argument_is_named(run_tool, unlabelled, checkpoint):
    for arguments in (("test", unlabelled, checkpoint), ("report", checkpoint)):
        with pytest.raises(SystemExit, match="--data"):
            run_tool(*arguments)


def test_a_report_passes_them_to_its_commands(
    run_tool, unlabelled, checkpoint, pets, tmp_path, monkeypatch
):
    started = []

    def run_child(command):
        started.append(command)
        raise SystemExit("failed")

    monkeypatch.setattr(children, "run_child", run_child)

    with pytest.raises(SystemExit, match="failed"):
        run_tool("report", checkpoint, "--data", pets, "--out", tmp_path / "r")
    cfg = Config.fromfile(started[0][1])
    assert cfg.eval_train_dataloader.dataset.data_root == str(pets)


def test_a_report_does_not_mix_in_numbers_of_other_images():
    probes = [dict(data="pets", probe="knn"), dict(data="digits", probe="linear")]
    steps = [dict(time_steps=t, digest=d) for t, d in ((1, "new"), (2, "new"))]
    stale = [dict(time_steps=4, digest="old"), dict(time_steps=8)]
    energy = [dict(digest="new")]
    rows = dict(probes=probes, time_steps=[*stale, *steps], energy=energy)
    expected = dict(probes=probes[:1], time_steps=steps, energy=energy)
    assert current_rows(rows, [2], "pets") == expected
