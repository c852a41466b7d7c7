"""--data: labelled images for a pretraining whose config has none."""

import json
import shutil

import pytest
from mmengine.config import Config

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

    def command():
        with pytest.raises(SystemExit, match="failed"):
            run_tool("report", checkpoint, "--data", pets, "--out", tmp_path / "r")
        return started.pop()

    first = command()
    cfg = Config.fromfile(first[1])
    assert cfg.eval_train_dataloader.dataset.data_root == str(pets)
    assert command() == first
    images = sorted(pets.rglob("test/*/*.png"))
    shutil.copyfile(images[0], images[-1])
    assert command()[-1] != first[-1], "numbers of other images are not mixed in"
