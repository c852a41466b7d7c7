"""Drawn boxes lie where the data samples say; label images keep their classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from snnssl_mm.analysis.event_pictures import BACKGROUND as BACKGROUND_OF_EVENTS
from snnssl_mm.analysis.predictions import Column, counts_of, draw, reads_recordings

CONFIGS = Path(__file__).parents[2] / "configs" / "detection"
CLASSES = dict(classes=("a", "b"), palette=[[255, 0, 0], [0, 255, 0]])
BACKGROUND = dict(classes=("background", "b"), palette=[[0, 0, 0], [0, 255, 0]])


@pytest.fixture
def axis():
    return Figure().subplots()


@pytest.fixture
def image(tmp_path):
    file = str(tmp_path / "image.png")
    cv2.imwrite(file, np.zeros((20, 30, 3), np.uint8))
    return file


def detected(image):
    """Annotations are in the resized image's pixels, predictions in the image's."""
    meta = dict(img_path=image, scale_factor=(2.0, 4.0))
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[4.0, 8.0, 20.0, 40.0]]), labels=torch.tensor([1])
    )
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([[1.0, 2.0, 11.0, 12.0], [3.0, 3.0, 9.0, 9.0]]),
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.9, 0.1]),
    )
    return sample


@pytest.mark.parametrize(
    ("truth", "corners", "name"),
    [(True, (2, 2, 10, 10), "b"), (False, (1, 2, 11, 12), "a 0.90")],
)
def test_boxes(axis, image, truth, corners, name):
    sample = detected(image)
    draw(axis, sample, Column("", [sample], CLASSES, truth), score=0.3)
    (box,) = axis.patches  # the prediction below the score is not drawn
    x, y = np.add(box.get_xy(), 0.5)  # from pixel centres to edges
    assert (x, y, x + box.get_width(), y + box.get_height()) == corners
    assert [text.get_text() for text in axis.texts] == [name]


def test_background_of_a_label_image_stays_clear(axis, image):
    labels = torch.zeros(1, 20, 30, dtype=torch.long)
    labels[0, 5:10, 5:12] = 1
    sample = SegDataSample(metainfo=dict(img_path=image))
    sample.pred_sem_seg = PixelData(data=labels)
    draw(axis, sample, Column("", [sample], BACKGROUND), score=0.3)
    shown = axis.images[-1].get_array()
    np.testing.assert_array_equal(shown[..., 3] > 0, labels[0].numpy() == 1)
    assert [text.get_text() for text in axis.texts] == ["b"]


DENOISE = "snnssl_mm.EventDenoise"


def test_recordings_are_drawn_as_their_events(axis, tmp_path, monkeypatch):
    cfg = Config.fromfile(CONFIGS / "mask-rcnn_spikformer_fpn_events.py")
    assert reads_recordings(cfg)
    monkeypatch.chdir(tmp_path)
    settings = dict(cfg.test_dataloader.dataset, num_train=1, num_test=2)
    pipeline = settings["pipeline"]  # the picture shows noise too
    settings["pipeline"] = [s for s in pipeline if s["type"] != DENOISE]
    init_default_scope("mmdet")
    dataset = DATASETS.build(settings)
    picture = counts_of(dataset, 1)
    counts = dataset[1]["inputs"].numpy().sum(0)
    background = np.rint(255 * np.array(BACKGROUND_OF_EVENTS))
    assert np.array_equal((picture == background).all(-1), counts == 0)
    sample = detected("no file")
    sample.set_metainfo(dict(picture=picture))
    draw(axis, sample, Column("", [sample], CLASSES), score=0.3)
    assert np.array_equal(axis.images[0].get_array(), picture)
