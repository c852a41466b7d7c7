"""snnssl train on detection and segmentation: errors and their messages."""

import json

import cv2
import pytest
from downstream_tasks import TASKS, write_config, write_scenes


@pytest.fixture
def config(tmp_path):
    def make(name, **options):
        write_scenes(tmp_path)
        settings = TASKS[name](tmp_path, **options)
        return write_config(tmp_path / f"{name}.py", settings)

    return make


def test_foreign_annotations_are_refused(run_tool, config, tmp_path):
    file = config("detection")
    annotations = tmp_path / "instances.json"
    content = json.loads(annotations.read_text())
    content["categories"][1]["name"] = "drone"
    annotations.write_text(json.dumps(content))
    options = ["--cfg-options", "train_dataloader.dataset.metainfo=None"]
    with pytest.raises(SystemExit, match=r"^error: .*instances\.json.*drone"):
        run_tool("train", file, "--work-dir", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def test_label_that_no_preflight_saw_is_named(run_tool, config, tmp_path):
    file = config("segmentation")
    for index in (1, 2, 3):
        path = str(tmp_path / "maps" / f"{index}.png")
        labels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        labels[:] = 9
        cv2.imwrite(path, labels)
    with pytest.raises(SystemExit, match=r"^error: .*maps/\d\.png.*label 9"):
        run_tool("train", file, "--work-dir", tmp_path / "run", "--no-preflight")


def test_sides_that_the_stride_does_not_divide(run_tool, config, tmp_path):
    file = config("segmentation", divisor=None)
    options = ["--cfg-options", "train_dataloader.dataset.pipeline.2.crop_size=(40,40)"]
    options += ["model.data_preprocessor.size=(40,40)"]
    match = r"^error: .*images/0\.png.* 32\b.*40x40"
    with pytest.raises(SystemExit, match=match):
        run_tool("train", file, "--work-dir", tmp_path / "run", *options)


def test_good_data_train(run_tool, config, tmp_path):
    run_tool("train", config("segmentation"), "--work-dir", tmp_path / "run")
    assert list((tmp_path / "run").glob("*.pth"))
