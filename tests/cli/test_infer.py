"""snnssl infer: drawn results and predictions of the three kinds of model."""

import json

import cv2
import numpy as np
import pytest
import torch
from downstream_tasks import NAMES, TASKS, segmentation, write_config
from mmengine.config import Config
from PIL import Image

KINDS = sorted(TASKS)


@pytest.mark.parametrize("name", KINDS)
def test_every_image_gets_a_picture_and_a_prediction(
    run_tool, task, name, tmp_path, capsys
):
    job, boxes = task(name), 0
    run_tool(
        "infer", job.config, job.checkpoint, job.images, "--out-dir", tmp_path,
        "--score-thr", 0.0,
    )  # fmt: skip
    for index in range(4):
        original = cv2.imread(str(job.images / f"{index}.png"))
        drawn = cv2.imread(str(tmp_path / "vis" / f"{index}.png"))
        if name == "classification":
            assert min(drawn.shape[:2]) == 320, "enlarged, so that text is legible"
        else:
            grown = original.repeat(7, axis=0).repeat(7, axis=1)
            assert drawn.shape == grown.shape
            assert (drawn != grown).any()
        if name == "segmentation":
            labels = np.asarray(Image.open(tmp_path / "pred" / f"{index}.png"))
            assert labels.shape == original.shape[:2]
            assert labels.max() < len(NAMES)
        else:
            prediction = json.loads((tmp_path / "pred" / f"{index}.json").read_text())
            assert prediction["image"] == str(job.images / f"{index}.png")
            scores = prediction["scores"]
            boxes += len(scores)
            assert scores == sorted(scores, reverse=True)
            assert all(0 <= score <= 1 for score in scores)
    if name == "detection":
        assert f"{boxes:,} boxes" in capsys.readouterr().out


def test_classes_are_named_as_the_config_does(run_tool, task, tmp_path):
    job = task("classification")
    image = job.images / "1.png"
    run_tool("infer", job.config, job.checkpoint, image, "--out-dir", tmp_path)
    prediction = json.loads((tmp_path / "pred" / "1.json").read_text())
    assert sorted(prediction["classes"]) == sorted(NAMES)
    assert [NAMES[i] for i in prediction["labels"]] == prediction["classes"]
    assert sum(prediction["scores"]) == pytest.approx(1, abs=1e-5)


def test_weights_are_those_of_the_checkpoint(run_tool, task, tmp_path):
    """A head with a bias for one class must predict that class everywhere."""
    job = task("segmentation")
    state = torch.load(job.checkpoint)["state_dict"]
    state["decode_head.conv_seg.bias"] = torch.tensor([0.0, 0.0, 1e4])
    file = tmp_path / "biased.pth"
    torch.save(state, file)
    run_tool("infer", job.config, file, job.images / "0.png", "--out-dir", tmp_path)
    assert np.unique(Image.open(tmp_path / "pred" / "0.png")).tolist() == [2]


def test_unreadable_image_is_left_out_and_named(run_tool, task, tmp_path):
    job = task("classification")
    folder = tmp_path / "images"
    folder.mkdir()
    content = (job.images / "0.png").read_bytes()
    (folder / "good.png").write_bytes(content)
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "notes.txt").write_text("not an image, and not meant as one")
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=r"(?s)1 of 2 images.*cut\.png"):
        run_tool("infer", job.config, job.checkpoint, folder, "--out-dir", out)
    assert [file.name for file in (out / "vis").iterdir()] == ["good.png"]


@pytest.mark.parametrize("name", KINDS)
def test_every_model_sees_the_pixels_of_training(task, name, tmp_path):
    """Also for a 16-bit image, and for one with transparent pixels."""
    from snnssl_mm.apis.inference import Inferencer

    job = task(name)
    cfg = Config.fromfile(job.config)
    cfg.test_dataloader.dataset.pipeline[0] = dict(type="snnssl_mm.LoadIntactImage")
    infer = Inferencer(cfg, str(job.checkpoint), tmp_path)
    seen = []
    infer.inferencer.model.data_preprocessor.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0]["inputs"])
    )
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "8.png"), pixels)
    cv2.imwrite(str(tmp_path / "16.png"), pixels.astype(np.uint16) * 257)
    for hidden in (0, 255):
        rgba = np.dstack([pixels, np.full((48, 64), 255, np.uint8)])
        rgba[:9] = (hidden, hidden, hidden, 0)
        cv2.imwrite(str(tmp_path / f"hidden{hidden}.png"), rgba)
    for file in ("8", "16", "hidden0", "hidden255"):
        infer(tmp_path / f"{file}.png")
        assert (tmp_path / "vis" / f"{file}.png").exists()
    first, second, third, fourth = (batch[0].float() for batch in seen)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(third, fourth)
    assert not torch.equal(first, third)


def test_sides_that_the_stride_does_not_divide(run_tool, task, tmp_path):
    job = task("segmentation")
    unpadded = write_config(tmp_path / "c.py", segmentation(job.root, divisor=None))
    command = ("infer", unpadded, job.checkpoint, job.images, "--out-dir", tmp_path)
    with pytest.raises(SystemExit, match=r"^error: .* 32\b.*48x64"):
        run_tool(*command)


def test_nothing_to_predict_on(run_tool, task, tmp_path):
    job = task("classification")
    command = ("infer", job.config, job.checkpoint)
    with pytest.raises(SystemExit, match=rf"^error: .*{tmp_path}"):
        run_tool(*command, tmp_path, "--out-dir", tmp_path / "out")
    with pytest.raises(SystemExit, match=rf"^error: .*{tmp_path / 'no'}"):
        run_tool(*command, tmp_path / "no", "--out-dir", tmp_path / "out")
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match=r"^error: .*2 images.* a\b"):
        run_tool(*command, tmp_path, "--out-dir", tmp_path / "out")


def test_checkpoint_and_config_must_fit(run_tool, task, tiny_config, tmp_path):
    job, other = task("classification"), task("segmentation")
    options = (job.images, "--out-dir", tmp_path)
    with pytest.raises(SystemExit, match=r"^error: .*random.pth"):
        run_tool("infer", job.config, other.checkpoint, *options)
    with pytest.raises(SystemExit, match="test_dataloader"):
        run_tool("infer", tiny_config, job.checkpoint, *options)


@pytest.mark.parametrize("name", ["detection", "segmentation"])
def test_no_dataset_is_built_and_no_registry_missed(
    run_tool, task, name, tmp_path, monkeypatch
):
    """The checkpoint has the classes; a wrong one is refused before any data."""
    from mmdet.registry import DATASETS as DETECTION
    from mmengine.registry import DATASETS
    from mmseg.registry import DATASETS as SEGMENTATION

    job, said = task(name), []
    saved = torch.load(job.checkpoint)
    names = {"classes": NAMES, "palette": [(0, 0, 9), (0, 9, 0), (9, 0, 0)]}
    file = tmp_path / "with_classes.pth"
    torch.save({**saved, "meta": {"dataset_meta": names}}, file)
    for registry in (DATASETS, DETECTION, SEGMENTATION):
        monkeypatch.setattr(registry, "build", None)
    log = "mmengine.logging.print_log"
    monkeypatch.setattr(log, lambda text, *args, **kwargs: said.append(str(text)))
    options = (job.images / "0.png", "--out-dir", tmp_path)
    run_tool("infer", job.config, file, *options)
    assert not [line for line in said if "Failed to search registry" in line]
    other = task("classification").checkpoint
    with pytest.raises(SystemExit, match=r"^error: .*random.pth"):
        run_tool("infer", job.config, other, *options)


def test_predictions_grow_with_the_picture():
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    from snnssl_mm.apis.inference import scale_prediction

    masks = torch.zeros(1, 4, 5, dtype=torch.bool)
    masks[0, 1:3, 2:4] = True
    boxes = torch.tensor([[2.0, 1.0, 4.0, 3.0]])
    sample = DetDataSample(pred_instances=InstanceData(bboxes=boxes, masks=masks))
    grown = scale_prediction(sample, 3).pred_instances
    assert grown.bboxes.tolist() == [[6, 3, 12, 9]]
    assert grown.masks.shape == (1, 12, 15)
    assert grown.masks[0, 3:9, 6:12].all()
    assert grown.masks.sum() == 36


@pytest.mark.parametrize("name", KINDS)
def test_folded_norms_change_rounding_only(run_tool, task, name, tmp_path, capsys):
    job = task(name)
    image, results = job.images / "2.png", []
    for folder, options in (("plain", ()), ("folded", ("--fold",))):
        out = tmp_path / folder
        run_tool("infer", job.config, job.checkpoint, image, "--out", out, *options)
        (file,) = (out / "pred").iterdir()
        if name == "segmentation":
            results.append(np.asarray(Image.open(file)))
        else:
            results.append(np.array(json.loads(file.read_text())["scores"]))
    assert results[0] == pytest.approx(results[1], abs=1e-4)
    gone = capsys.readouterr().out.partition(" batch norms are folded")[0].split()[-1]
    assert (int(gone) > 0) == (name == "segmentation"), "its head has ConvModules"
