"""snnssl measure firing-rates: every scope, one results file, reproducible numbers."""

import json

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.analysis.unseen_images import unseen_images
from snnssl_mm.probing import build_eval_model, load_trained_model
from snnssl_mm.recording.firing_rates import firing_rates

TOOL = "measure firing-rates"


def rows_of(file):
    report = json.loads(file.read_text())
    assert report["what"] == "firing_rates"
    return report["rows"]


def test_row_table_and_picture(run_tool, tiny_config, checkpoint, tmp_path, capsys):
    out, picture = tmp_path / "a" / "rates.json", tmp_path / "b" / "rates.png"
    run_tool(
        TOOL, tiny_config, checkpoint, "--images", 4, "--out", out, "--plot", picture
    )
    (row,) = rows_of(out)
    cfg = Config.fromfile(tiny_config)
    model = load_trained_model(cfg, str(checkpoint))
    batches = (model.data_preprocessor(b)["inputs"] for b in unseen_images(cfg, 4))
    expected = firing_rates(model, batches)
    assert row["layers"] == [layer._asdict() for layer in expected]
    assert (row["images_used"], row["seed"]) == (4, 0)
    assert row["checkpoint"] == str(checkpoint)
    assert row["command"].startswith("snnssl measure ")
    printed = capsys.readouterr().out
    for layer in expected:
        assert layer.name in printed
    assert str(picture) in printed
    assert picture.stat().st_size > 10_000


def test_what_is_there_is_shown_again_and_what_changed_is_measured(
    run_tool, tiny_config, checkpoint, tmp_path, capsys
):
    out = tmp_path / "rates.json"
    job = (TOOL, tiny_config, checkpoint, "--out", out)
    run_tool(*job, "--images", 4)
    first, printed = rows_of(out), capsys.readouterr().out
    run_tool(*job, "--images", 4)
    assert rows_of(out) == first
    table = capsys.readouterr().out
    assert "stem.stages.0" in table
    assert printed.endswith(table.removeprefix(f"in {out} already\n"))
    run_tool(*job, "--images", 2)
    (row,) = rows_of(out)  # replaces the one of other images
    assert row["images_used"] == 2
    run_tool(*job, "--images", 2, "--cfg-options", "model.backbone.time_steps=2")
    steps = [len(row["layers"][0]["rates"]) for row in rows_of(out)]
    assert steps == [4, 2], "another network"


@pytest.mark.parametrize("name", ["detection", "segmentation", "classification"])
def test_downstream_models(run_tool, task, name, tmp_path):
    job, out = task(name), tmp_path / "rates.json"
    run_tool(TOOL, job.config, job.checkpoint, "--images", 2, "--out", out)
    (row,) = rows_of(out)
    assert row["layers"][0]["name"] == "stem.stages.0"
    for layer in row["layers"]:
        assert 0 <= layer["dead"] + layer["saturated"] <= layer["neurons"]


def test_bad_input_is_refused_with_a_sentence(
    run_tool, tiny_config, checkpoint, task, tmp_path
):
    out = tmp_path / "rates.json"
    job = (TOOL, tiny_config, checkpoint)
    with pytest.raises(SystemExit, match="^2$"):
        run_tool(*job, "--images", 0, "--out", out)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^error: .*file/rates\.json"):
        run_tool(*job, "--out", tmp_path / "file" / "rates.json")
    with pytest.raises(SystemExit, match="^2$"):
        run_tool(*job, "--out", out, "--plot", tmp_path)
    other = tmp_path / "probes.json"
    other.write_text('{"what": "probes", "machine": "", "rows": []}')
    with pytest.raises(SystemExit, match=r"^error: .*probes\.json.*\bfiring_rates\b"):
        run_tool(*job, "--out", other)
    with pytest.raises(SystemExit, match=r"^error: .*random\.pth"):
        run_tool(TOOL, task("detection").config, task("segmentation").checkpoint,
                 "--out", out)  # fmt: skip
    cfg = Config.fromfile(tiny_config)
    cfg.eval_test_dataloader = None
    cfg.dump(tmp_path / "without.py")
    with pytest.raises(SystemExit, match=r"^error: .*images"):
        run_tool(TOOL, tmp_path / "without.py", checkpoint, "--out", out)
    assert not out.exists(), "refused before the work"


def test_a_network_without_spikes_is_refused(run_tool, tmp_path, tiny_config):
    cfg = Config.fromfile(tiny_config)
    backbone = dict(type="mmpretrain.ResNet", depth=18, out_indices=(3,))
    cfg.model = dict(type="mmpretrain.ImageClassifier", backbone=backbone)
    cfg.dump(tmp_path / "resnet.py")
    file = tmp_path / "resnet.pth"
    torch.save({"state_dict": build_eval_model(cfg).state_dict()}, file)
    out = tmp_path / "rates.json"
    with pytest.raises(SystemExit, match=r"^error: .*ImageClassifier.*MixedLIF"):
        run_tool(TOOL, tmp_path / "resnet.py", file, "--out", out)
    assert not out.exists()


def test_neurons_of_neck_and_heads_are_counted(run_tool, task, tmp_path):
    job, out = task("spiking_detection"), tmp_path / "rates.json"
    run_tool(TOOL, job.config, job.checkpoint, "--images", 2, "--out", out)
    ((row,), names) = rows_of(out), [x["name"] for x in rows_of(out)[0]["layers"]]
    parts = ("stem", "neck.neck.lateral_convs", "rpn_head.rpn_conv", "roi_head.bbox")
    assert all(any(name.startswith(part) for name in names) for part in parts)
    assert {len(layer["rates"]) for layer in row["layers"]} == {2}
