"""Multi-digit events: the same in both formats, read by the stock datasets."""

import hashlib

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS, init_default_scope
from mmseg.datasets import BaseSegDataset
from pycocotools.coco import COCO

from snnssl_mm.datasets.events.event_camera import PIXEL
from snnssl_mm.datasets.events.multi_digit_events import (
    UNIT,
    generate_multi_digit_events,
    iter_multi_digit_events,
)
from snnssl_mm.datasets.events.saccades import saccades, scaled_motion
from snnssl_mm.datasets.scene_annotations import FOLDERS

COUNTS = dict(num_train=6, num_test=3)
DIGEST = "aa8e8668849b9a97adef020ae2ad35f27df379fee0d6c6f1b944263eac85b895"
"""SHA-256 of the events, labels and masks of 5 recordings."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return generate_multi_digit_events(
        tmp_path_factory.mktemp("data") / "events", **COUNTS
    )


def test_same_bytes_on_every_machine():
    digest = hashlib.sha256()
    for recording, instances in iter_multi_digit_events("train", 5):
        digest.update(recording.events.tobytes())
        for instance in instances:
            digest.update(bytes([instance.label]) + instance.mask.tobytes())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("size", [32, 64])
def test_boxes_do_not_touch_and_follow_the_events(size):
    """A digit's events are where its box is moved to along the saccades."""
    path, times = saccades(scaled_motion(UNIT))
    for recording, instances in iter_multi_digit_events("test", 15, size):
        taken = np.zeros((size, size), int)
        events = recording.events
        moved = [np.interp(events["t"], times, axis) / PIXEL for axis in path.T]
        right, down = (events[name] - by for name, by in zip("xy", moved, strict=True))
        signal = np.zeros(len(events), bool)
        for instance in instances:
            x, y, width, height = instance.box
            assert 8 <= max(width, height) <= 21
            taken[max(y - 1, 0) : y + height, max(x - 1, 0) : x + width] += 1
            inside = (np.abs(right - x - (width - 1) / 2) < width / 2 + 1.5) & (
                np.abs(down - y - (height - 1) / 2) < height / 2 + 1.5
            )
            assert inside.sum() > 2.5 * width * height  # events a pixel of the box
            signal |= inside
        assert taken.max() == 1
        assert signal.mean() > 0.5  # the others are clutter and noise


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_annotations_tell_of_the_same_digits(root, split):
    coco = COCO(root / "annotations" / f"instances_{FOLDERS[split]}.json")
    assert len(coco.imgs) == COUNTS[f"num_{split}"]
    for image_id, image in coco.imgs.items():
        assert (root / "recordings" / FOLDERS[split] / image["file_name"]).is_file()
        file = (root / "annotations" / FOLDERS[split] / image["file_name"]).with_suffix(
            ".png"
        )
        labels = cv2.imread(str(file), -1)
        assert labels.shape == (image["height"], image["width"]) == (64, 64)
        from_coco = np.ones_like(labels)
        for annotation in coco.imgToAnns[image_id]:
            mask = coco.annToMask(annotation).astype(bool)
            from_coco[mask] = 1 + annotation["category_id"]
        np.testing.assert_array_equal(labels, from_coco)


LOAD = dict(type="snnssl_mm.LoadEvents", height=64, width=64)


def test_stock_datasets_read_them(root):
    init_default_scope("mmdet")
    boxes = DATASETS.build(
        dict(
            type="snnssl_mm.MultiDigitEventDetection",
            data_root=str(root),
            pipeline=[LOAD],
            **COUNTS,
        )
    )
    assert type(boxes) is CocoDataset
    init_default_scope("mmseg")
    segments = DATASETS.build(
        dict(
            type="snnssl_mm.MultiDigitEventSegmentation",
            data_root=str(root),
            pipeline=[LOAD, dict(type="LoadAnnotations")],
            **COUNTS,
        )
    )
    assert type(segments) is BaseSegDataset
    for sample, segmented, (recording, instances) in zip(
        boxes, segments, iter_multi_digit_events("train", 6), strict=True
    ):
        for read in (sample["recording"], segmented["recording"]):
            np.testing.assert_array_equal(read.events, recording.events)
        found = [i["bbox_label"] for i in sample["instances"]]
        assert found == [i.label for i in instances]
        assert set(np.unique(segmented["gt_seg_map"])) == {
            0,
            *(1 + instance.label for instance in instances),
        }


def test_generated_once_and_never_overwritten(root):
    before = (root / "meta.json").stat().st_mtime_ns
    generate_multi_digit_events(root, **COUNTS)
    assert (root / "meta.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match=r"size=64 .*\b48\b"):
        generate_multi_digit_events(root, size=48, **COUNTS)


def test_bad_parameters(tmp_path):
    with pytest.raises(ValueError, match="size=16"):
        generate_multi_digit_events(tmp_path / "tiny", size=16)
    with pytest.raises(ValueError, match="'val'"):
        DATASETS.build(dict(type="snnssl_mm.MultiDigitEventDetection", split="val"))
