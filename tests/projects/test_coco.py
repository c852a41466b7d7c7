"""COCO files as exporters write them: completed, or refused with the fault's place."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from snnssl_mm.projects.coco import read_coco_file
from snnssl_mm.projects.survey import images_below, survey


def changed(file, index=None, drop=(), **values):
    """Change one annotation of a file, or all of them; return the file."""
    content = json.loads(file.read_text())
    rows = content["annotations"]
    for row in rows if index is None else [rows[index]]:
        row.update(values)
        for key in drop:
            row.pop(key, None)
    file.write_text(json.dumps(content))
    return file


def read(root, file):
    return read_coco_file(file, images_below(root), root)


def encoded(form):
    """An L of 40 x 32 pixels in a form of a segmentation, and pycocotools' box."""
    pixels = np.zeros((32, 40), np.uint8, order="F")
    pixels[5:30, 3:8] = pixels[25:30, 3:33] = 1
    packed = coco_mask.encode(pixels)
    box = coco_mask.toBbox(packed).tolist()
    if form == "packed":
        return {**packed, "counts": packed["counts"].decode()}, box
    flat = np.concatenate([[2], pixels.T.ravel(), [2]])
    runs = np.diff(np.flatnonzero(np.diff(flat)))
    if form == "runs":
        return dict(size=[32, 40], counts=runs.tolist()), box
    return [[3, 5, 8, 5, 8, 30, 3, 30], [3, 25, 33, 25, 33, 30, 3, 30]], box


@pytest.mark.parametrize("form", ["packed", "runs", "polygons"])
@pytest.mark.parametrize("box", [None, []])
def test_boxes_that_are_not_written_are_those_of_the_segmentation(
    photos, coco_file, form, box
):
    root = photos()
    segmentation, expected = encoded(form)
    file = changed(coco_file(root), 3, bbox=box, segmentation=segmentation)
    rows = read(root, file).content["annotations"]
    assert rows[3]["bbox"] == expected
    assert rows[3]["area"] == expected[2] * expected[3]
    assert rows[4]["bbox"] == [2, 4, 20, 16]


def test_an_empty_mask_has_an_empty_box_and_is_no_object(photos, coco_file):
    root = photos()
    empty = dict(size=[32, 40], counts=[32 * 40])
    file = changed(coco_file(root), 3, drop=["bbox"], segmentation=empty)
    coco = read(root, file)
    assert coco.content["annotations"][3]["bbox"] == [0, 0, 0, 0]
    assert len(list(coco.objects())) == 23


@pytest.mark.parametrize("index", [None, 3])
def test_annotations_without_ids_are_numbered(photos, coco_file, index):
    root = photos()
    file = changed(coco_file(root), index, drop=["id", "iscrowd"])
    ids = [row["id"] for row in read(root, file).content["annotations"]]
    assert len(set(ids)) == len(ids) == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image_id=77), "image_id 77"),
        (dict(image_id="1"), "image_id '1'"),
        (dict(image_id=[1]), "unhashable"),
        (dict(drop=["image_id"]), "no image_id"),
        (dict(drop=["bbox"]), "no bbox"),
        (dict(drop=["bbox"], segmentation=[[1, 2]]), "no bbox"),
        (dict(bbox=[1, 2, 3]), "bbox="),
        (dict(bbox=["1", "2", "3", "4"]), "bbox="),
        (dict(id=5), "id 5"),
    ],
)
def test_entries_that_no_training_can_use_are_refused(
    photos, coco_file, change, message
):
    root = photos()
    file = changed(coco_file(root), 3, **change)
    with pytest.raises(ValueError, match=rf"annotations\.json.*{message}"):
        survey(root, file)


def test_a_name_that_fits_two_images_equally_well_is_refused(photos, coco_file):
    for folder in ("left", "right"):
        root = photos(folder=folder, count=4)
    file = coco_file(root / "left")
    with pytest.raises(ValueError, match=r"left/00\.png.*right/00\.png"):
        survey(root, file)
    assert len(read(root / "left", file).files) == 4
    content = json.loads(file.read_text())
    for row in content["images"]:
        row["file_name"] = f"right/{row['file_name']}"
    file.write_text(json.dumps(content))
    assert {path.parent.name for path in read(root, file).files.values()} == {"right"}


def test_links_to_the_same_file_are_one_image(photos, coco_file):
    root = photos(folder="a")
    (root / "b").mkdir()
    for file in (root / "a").iterdir():
        (root / "b" / file.name).symlink_to(file)
    assert len(read(root, coco_file(root / "a")).files) == 12
