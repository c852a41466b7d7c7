"""Multi-digit scenes: the same in every format, and read by the stock datasets."""

import json

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS, init_default_scope
from mmseg.datasets import BaseSegDataset
from pycocotools.coco import COCO

from snnssl_mm.datasets.multi_digit_scenes import (
    generate_multi_digit_scenes,
    iter_multi_digit_scenes,
)
from snnssl_mm.datasets.scene_annotations import FOLDERS

COUNTS = dict(num_train=20, num_test=8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return generate_multi_digit_scenes(
        tmp_path_factory.mktemp("data") / "scenes", **COUNTS
    )


def test_scenes_depend_on_seed_split_and_index_only():
    def scenes(count, **kwargs):
        return np.stack(
            [scene for scene, _ in iter_multi_digit_scenes("train", count, **kwargs)]
        )

    np.testing.assert_array_equal(scenes(5)[:3], scenes(3))
    assert not np.array_equal(scenes(3), scenes(3, seed=1))
    test = np.stack([scene for scene, _ in iter_multi_digit_scenes("test", 3)])
    assert not np.array_equal(scenes(3), test)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_digits_do_not_touch_and_lie_on_the_canvas(size):
    for _, instances in iter_multi_digit_scenes("train", 50, size):
        assert 1 <= len(instances) <= 6
        taken = np.zeros((size, size), int)
        for instance in instances:
            x, y, width, height = instance.box
            assert 4 <= max(width, height) <= 16  # as in the scenes of the pretraining
            assert instance.mask[y : y + height, x : x + width].sum() > 0
            assert instance.mask.sum() == instance.mask[y:, x:].sum()
            taken[max(y - 1, 0) : y + height, max(x - 1, 0) : x + width] += 1
        assert taken.max() == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_annotations_tell_of_the_same_digits(root, split):
    coco = COCO(root / "annotations" / f"instances_{FOLDERS[split]}.json")
    for image_id, image in coco.imgs.items():
        name = image["file_name"]
        labels = cv2.imread(str(root / "annotations" / FOLDERS[split] / name), -1)
        from_coco = np.ones_like(labels)
        for annotation in coco.imgToAnns[image_id]:
            mask = coco.annToMask(annotation).astype(bool)
            from_coco[mask] = 1 + annotation["category_id"]
            assert annotation["bbox"] == list(cv2.boundingRect(mask.astype(np.uint8)))
            assert annotation["area"] == mask.sum()
        np.testing.assert_array_equal(labels, from_coco)


def test_stock_datasets_read_them(root):
    init_default_scope("mmdet")
    boxes = DATASETS.build(
        dict(type="snnssl_mm.MultiDigitDetection", data_root=str(root), **COUNTS)
    )
    assert type(boxes) is CocoDataset
    assert len(boxes) == 20
    for index, (_, instances) in enumerate(iter_multi_digit_scenes("train", 20)):
        read = boxes.get_data_info(index)["instances"]
        assert [i["bbox_label"] for i in read] == [i.label for i in instances]

    init_default_scope("mmseg")
    segments = DATASETS.build(
        dict(
            type="snnssl_mm.MultiDigitSegmentation",
            split="test",
            data_root=str(root),
            pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")],
            **COUNTS,
        )
    )
    assert type(segments) is BaseSegDataset
    for sample, (scene, instances) in zip(
        segments, iter_multi_digit_scenes("test", 8), strict=True
    ):
        np.testing.assert_array_equal(sample["img"][..., 0], scene)
        assert set(np.unique(sample["gt_seg_map"])) == {
            0,
            *(1 + instance.label for instance in instances),
        }


def test_generated_once_and_never_overwritten(root):
    before = (root / "meta.json").stat().st_mtime_ns
    generate_multi_digit_scenes(root, **COUNTS)
    assert (root / "meta.json").stat().st_mtime_ns == before
    meta = json.loads((root / "meta.json").read_text())
    coco = COCO(root / "annotations" / "instances_training.json")
    assert meta["digits"]["train"] == len(coco.anns)
    with pytest.raises(FileExistsError, match=r"size=48 .*\b64\b"):
        generate_multi_digit_scenes(root, size=64, **COUNTS)


def test_bad_parameters(root, tmp_path):
    with pytest.raises(ValueError, match="size=16"):
        generate_multi_digit_scenes(tmp_path / "tiny", size=16)
    with pytest.raises(ValueError, match="'val'"):
        DATASETS.build(dict(type="snnssl_mm.MultiDigitDetection", split="val"))
