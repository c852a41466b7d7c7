"""snnssl measure health: a reproducible row with a random network as reference."""

import json
import re

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.probing import build_eval_model
from snnssl_mm.recording.representation_health import MEASURES

TOOL = "measure health"


def rows_of(file):
    report = json.loads(file.read_text())
    assert report["what"] == "representation_health"
    return report["rows"]


def test_row_table_and_picture(run_tool, tiny_config, checkpoint, tmp_path, capsys):
    out, picture = tmp_path / "a" / "health.json", tmp_path / "b" / "health.png"
    run_tool(
        TOOL, tiny_config, checkpoint, "--images", 8, "--out", out, "--plot", picture
    )
    (row,) = rows_of(out)
    assert (row["images_used"], row["data"], row["seed"]) == (8, "unseen", 0)
    assert row["checkpoint"] == str(checkpoint)
    assert row["command"].startswith("snnssl measure ")
    assert row["random"]["backbone/rankme"] > 1, "its statistics are not the initial"
    printed = capsys.readouterr().out
    for name, text in MEASURES.items():
        assert text in printed
        assert f"{row['pretrained'][f'embedding/{name}']:.3g}" in printed
    assert str(picture) in printed
    assert picture.stat().st_size > 10_000


def test_two_runs_give_the_same_numbers_and_a_row_is_shown_again(
    run_tool, tiny_config, checkpoint, tmp_path, capsys
):
    out, again = tmp_path / "health.json", tmp_path / "again.json"
    job = (TOOL, tiny_config, checkpoint)
    run_tool(*job, "--images", 8, "--out", out)
    first, printed = rows_of(out), capsys.readouterr().out
    run_tool(*job, "--images", 8, "--out", out)
    assert rows_of(out) == first
    table = capsys.readouterr().out
    assert "RankMe" in table
    assert printed.endswith(table.removeprefix(f"in {out} already\n"))
    torch.rand(3)
    run_tool(*job, "--images", 8, "--out", again)
    for name in ("pretrained", "random"):
        assert rows_of(again)[0][name] == first[0][name]
    run_tool(*job, "--images", 4, "--out", out)
    assert [row["images_used"] for row in rows_of(out)] == [8, 4]


def test_without_unseen_images_the_training_images_are_taken(
    run_tool, tiny_config, checkpoint, tmp_path, capsys
):
    cfg = Config.fromfile(tiny_config)
    cfg.eval_test_dataloader = None
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=inner)
    cfg.dump(tmp_path / "without.py")
    out = tmp_path / "health.json"
    run_tool(TOOL, tmp_path / "without.py", checkpoint, "--images", 4, "--out", out)
    assert rows_of(out)[0]["data"] == "training"
    assert "4 training images" in capsys.readouterr().out


def test_collapse_is_reported(run_tool, tiny_config, tmp_path, capsys):
    model = build_eval_model(Config.fromfile(tiny_config))
    for parameter in model.neck.parameters():
        parameter.data.zero_()
    file = tmp_path / "collapsed.pth"
    torch.save({"state_dict": model.state_dict()}, file)
    out = tmp_path / "health.json"
    run_tool(TOOL, tiny_config, file, "--images", 4, "--out", out)
    printed = capsys.readouterr().out
    assert re.search(r"collapsed.*RankMe.* 0\.00", printed)


def test_bad_input_is_refused(run_tool, tiny_config, checkpoint, task, tmp_path):
    out = tmp_path / "health.json"
    job = (TOOL, tiny_config, checkpoint)
    with pytest.raises(SystemExit, match=r"^error: .* 2\b.* 1\b"):
        run_tool(*job, "--images", 1, "--out", out)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^error: .*file/health\.json"):
        run_tool(*job, "--out", tmp_path / "file" / "health.json")
    with pytest.raises(SystemExit, match="^2$"):
        run_tool(*job, "--out", out, "--plot", tmp_path)
    other = tmp_path / "probes.json"
    other.write_text('{"what": "probes", "machine": "", "rows": []}')
    with pytest.raises(SystemExit, match=r"^error: .*probes\.json.*\brepresentation_h"):
        run_tool(*job, "--out", other)
    tensors = torch.load(checkpoint)["state_dict"]
    backbone = {k: v for k, v in tensors.items() if k.startswith("backbone.")}
    torch.save({"state_dict": backbone}, tmp_path / "backbone.pth")
    with pytest.raises(SystemExit, match=r"^error: .*backbone\.pth.*neck"):
        run_tool(TOOL, tiny_config, tmp_path / "backbone.pth", "--out", out)
    job = task("classification")
    with pytest.raises(SystemExit, match=r"^error: .*(pretraining|DualPathSSL)"):
        run_tool(TOOL, job.config, job.checkpoint, "--out", out)
    assert not out.exists(), "refused before the work"
