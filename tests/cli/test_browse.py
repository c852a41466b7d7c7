"""snnssl browse: the network's inputs as a picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from snnssl_mm.analysis import dataset_pictures
from snnssl_mm.analysis.dataset_pictures import inputs_of, to_picture
from snnssl_mm.datasets.data_error import DataError

ROOT = Path(__file__).parents[2]


def test_pictures_have_the_right_colours():
    rgb = np.array([[[255, 0, 10]]], np.uint8)
    stored = torch.from_numpy(rgb[..., ::-1].copy()).permute(2, 0, 1)
    np.testing.assert_array_equal(to_picture(stored, bgr=True), rgb)
    frames = torch.stack([stored, stored]).flip(1).float()
    picture = to_picture(frames, bgr=False)
    np.testing.assert_array_equal(picture, np.concatenate([rgb, rgb], axis=1))


def test_digit_scenes_are_drawn(run_tool, tmp_path, monkeypatch, capsys):
    config = ROOT / "configs" / "_base_" / "datasets" / "digit_scenes.py"
    options = [
        f"{name}_dataloader.dataset.{setting}"
        for name in ("train", "eval_train", "eval_test")
        for setting in (
            "num_train=20",
            "num_test=10",
            f"data_root={tmp_path / 'scenes'}",
        )
    ]
    monkeypatch.chdir(tmp_path)
    run_tool("browse", config, "--num", 3, "--cfg-options", *options)
    out = Path("work_dirs", "digit_scenes", "browse_dataset.png")
    assert f"wrote {out}" in capsys.readouterr().out
    picture = imread(tmp_path / out)[..., :3]
    assert (picture < 0.1).mean() > 0.3, "five rows of dark scenes"
    assert (picture > 0.9).mean() > 0.1, "and a light frame"


@pytest.mark.parametrize("name", ["classification", "detection", "segmentation"])
def test_files_are_drawn_as_the_preprocessor_sees_them(
    run_tool, task, name, tmp_path, monkeypatch
):
    seen = []
    read = dataset_pictures.read_rows
    monkeypatch.setattr(
        dataset_pictures,
        "read_rows",
        lambda *args: seen.append(args[-1]) or read(*args),
    )
    monkeypatch.chdir(tmp_path)
    run_tool("browse", task(name).config, "--num", 1)
    assert seen
    assert all(bgr is True for bgr in seen)


def test_an_image_that_cannot_be_shown_is_named():
    class Damaged:
        def __getitem__(self, index):
            raise cv2.error("imdecode: buffer is empty")

        def get_data_info(self, index):
            return {"img_path": "shots/7.png"}

    with pytest.raises(DataError, match=r"shots/7\.png"):
        inputs_of(Damaged(), 0)
