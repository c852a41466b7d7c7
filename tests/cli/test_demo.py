"""The demo: its commands in their order, its estimate, its links to the runs."""

import itertools
import json
from pathlib import Path

import pytest

from snnssl_mm.cli import demo
from snnssl_mm.cli.shared import children
from snnssl_mm.projects import measure
from snnssl_mm.transfer.jobs import folder_name

DIGEST = "0123abcd"
ENTRIES = {"digits": ("pretrained", "random"), "digits_spiking": ("pretrained",)}


def row(suite, task, entry, seed):
    key = {"suite": suite, "task": task, "entry": entry, "seed": seed}
    return {**key, "fraction": 1.0, "digest": DIGEST, "metrics": {"AP": 0.5}} | {
        "labelled_images": 400,
        "curve": [],
    }


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands of child processes, which leave what they would."""
    monkeypatch.chdir(tmp_path)
    seen = []

    def run_child(command, *_, **__):
        seen.append(list(command))
        options = dict(itertools.pairwise(command))
        if command[0] == "train":
            folder = Path(options["--work-dir"])
            (folder / "time").mkdir(parents=True)
            (folder / "time" / "time.log").touch()
            (folder / "epoch_28.pth").touch()
            (folder / "last_checkpoint").write_text(str(folder / "epoch_28.pth"))
        if command[0] == "transfer":
            out, seed = Path(options["--out"]), int(options["--seeds"])
            rows = json.loads(out.read_text())["rows"] if out.exists() else []
            suite = options["--suite"]
            for task in set(demo.TRAINED) & set(command):
                for entry in ENTRIES[suite]:
                    rows.append(row(suite, task, entry, seed))
                    names = map(folder_name, (suite, task, "1", entry))
                    run = Path(options["--work-dir"], *names, f"seed{seed}-{DIGEST}")
                    run.mkdir(parents=True)
                    (run / "last_checkpoint").write_text(str(run / "epoch_9.pth"))
                    (run / "epoch_9.pth").touch()
            report = {"what": "transfer", "machine": {}, "rows": rows}
            out.write_text(json.dumps(report))

    monkeypatch.setattr(children, "run_child", run_child)
    monkeypatch.setattr(measure, "training_seconds", lambda config: 60.0)
    return seen


def test_a_seed_is_pretrained_transferred_and_drawn(run_tool, commands, capsys):
    run_tool("demo", "--seeds", 0, 3)
    names = [command[0] for command in commands]
    assert names == 2 * ["train", "transfer", "transfer", "draw", "draw", "draw"]
    for second in commands[7:9]:
        assert "pretrained=work_dirs/demo/seed3/epoch_28.pth" in second
    # 1.5 minutes, 1 of pretraining, 2 tasks from 2 backbones and 1 from one, twice.
    assert f"{2 * (1.5 + 1 + 2 * 1.6 + 1):.0f} minutes" in capsys.readouterr().out
    names = ["detection_pretrained", "detection_random", "RetinaNet_spiking_pretrained"]
    for name in [*names, "segmentation_pretrained", "segmentation_random"]:
        assert Path("work_dirs/demo/seed3", name, "epoch_9.pth").exists()


def test_an_interrupted_pretraining_continues(run_tool, commands):
    folder = Path("work_dirs/demo/seed0")
    folder.mkdir(parents=True)
    (folder / "epoch_3.pth").touch()
    run_tool("demo")
    assert "--resume" in commands[0]
