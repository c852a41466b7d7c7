"""snnssl draw: every scope, weights that must fit."""

import cv2
import numpy as np
import pytest
import torch

TOOLS = [f"draw {name}-maps" for name in ("attention", "feature", "spike")]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", ["detection", "segmentation", "classification"])
def test_picture_of_a_downstream_model(run_tool, task, tool, name, tmp_path):
    job, out = task(name), tmp_path / "maps.png"
    image = job.images / "0.png"
    run_tool(tool, job.config, job.checkpoint, image, "--out", out)
    assert np.ptp(cv2.imread(str(out))) > 200


@pytest.mark.parametrize("tool", TOOLS)
def test_picture_of_a_pretrained_model(run_tool, task, tiny_config, tool, tmp_path):
    from mmengine.config import Config

    from snnssl_mm.probing import build_eval_model

    model = build_eval_model(Config.fromfile(tiny_config))
    checkpoint, out = tmp_path / "pretrained.pth", tmp_path / "maps.png"
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    image = task("classification").images / "0.png"
    run_tool(tool, tiny_config, checkpoint, image, "--out", out)
    assert np.ptp(cv2.imread(str(out))) > 200


@pytest.mark.parametrize("tool", TOOLS)
def test_backbone_alone_is_enough(run_tool, task, tool, tmp_path):
    """A detector's config works with the checkpoint of a pretraining."""
    job = task("detection")
    state = torch.load(job.checkpoint)["state_dict"]
    backbone = {k: v for k, v in state.items() if k.startswith("backbone.")}
    file, out = tmp_path / "backbone.pth", tmp_path / "maps.png"
    torch.save({"state_dict": backbone}, file)
    run_tool(tool, job.config, file, job.images / "0.png", "--out", out)
    assert out.exists()


@pytest.mark.parametrize("tool", TOOLS)
def test_what_does_not_fit_is_refused(run_tool, task, tool, tmp_path):
    job = task("classification")
    other, image = tmp_path / "other.pth", job.images / "0.png"
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, other)
    with pytest.raises(SystemExit, match=r"^error: .*other.pth"):
        run_tool(tool, job.config, other, image)
    with pytest.raises(SystemExit, match=r"^error: .*labels\.txt"):
        run_tool(tool, job.config, job.checkpoint, job.root / "labels.txt")


def test_layers_can_be_chosen(run_tool, task, tmp_path):
    job = task("classification")
    sizes = []
    for pattern in ("", "stem"):
        out = tmp_path / f"maps{pattern}.png"
        run_tool(
            TOOLS[2], job.config, job.checkpoint, job.images / "0.png", "--out", out,
            "--layers", pattern,
        )  # fmt: skip
        sizes.append(cv2.imread(str(out)).shape[0])
    assert sizes[1] < sizes[0], "fewer rows"


def test_predictions_of_detector_and_segmentor(run_tool, task, tmp_path):
    jobs = [task(name) for name in ("detection", "segmentation")]
    models = [f"random={job.config},{job.checkpoint}" for job in jobs]
    out = tmp_path / "predictions.png"
    tool = "draw predictions"
    run_tool(tool, *models, "--out", out, "--count", 2)
    height, width = cv2.imread(str(out)).shape[:2]
    assert width / 4 == pytest.approx(height / 2, rel=0.15)  # truth and prediction, x 2


def test_lowest_score_of_drawn_boxes(run_tool, task, tmp_path, monkeypatch, capsys):
    from snnssl_mm.analysis import predictions

    job = task("detection")
    monkeypatch.setattr(predictions, "columns_of", lambda models, count: [])
    monkeypatch.setattr(predictions, "plot_predictions", lambda *args: args[-1])
    model = f"a={job.config},{job.checkpoint}"
    run_tool("draw predictions", model, "--score-thr", 0.1, "--out", tmp_path / "a.png")
    assert capsys.readouterr().out.split()[-1] == "0.1"


@pytest.mark.parametrize("name", ["spike-raster", "embedding"])
def test_picture_of_the_configs_unseen_images(
    run_tool, tiny_config, checkpoint, name, tmp_path
):
    out, job = tmp_path / "a" / "picture.png", (tiny_config, checkpoint)
    run_tool(f"draw {name}", *job, "--images", 8, "--out", out)
    assert np.ptp(cv2.imread(str(out))) > 200
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^error: .*file/a\.png"):
        run_tool(f"draw {name}", *job, "--out", tmp_path / "file" / "a.png")
