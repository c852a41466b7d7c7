"""Annotated objects of both splits: held out in proportion, used if both have them."""

import json

import pytest

from snnssl_mm.projects.survey import survey


def test_objects_and_not_only_images_are_held_out(photos, coco_file):
    """Two of 60 images have objects: one of them is for validation."""
    root = photos(count=60)
    file = coco_file(root, count=60)
    content = json.loads(file.read_text())
    rows = [row for row in content["annotations"] if row["image_id"] in (7, 44)]
    found = survey(root, coco_file(root, count=60, annotations=rows))
    mine, theirs = found.labels.coco, found.held_out_labels.coco
    assert len(mine.images_with_objects()) == len(theirs.images_with_objects()) == 1
    assert len(theirs.files) == 13


def test_annotations_without_objects_are_no_labels(photos, coco_file):
    root = photos()
    content = json.loads(coco_file(root).read_text())
    rows = [row | dict(iscrowd=1) for row in content["annotations"]]
    found = survey(root, coco_file(root, annotations=rows))
    assert found.labels.coco is None
    assert found.held_out_labels.coco is None
    assert len(found.notes) == 3


@pytest.mark.parametrize("bare", ["training", "validation"])
def test_outlines_are_used_only_if_all_objects_have_them(photos, coco_file, bare):
    root, other = photos(), photos("other")
    files = {
        "training": coco_file(root, "train.json", outlines=True),
        "validation": coco_file(other, "val.json", outlines=True),
    }
    content = json.loads(files[bare].read_text())
    del content["annotations"][3]["segmentation"]
    found = survey(root, files["training"], other, files["validation"])
    assert found.labels.coco.has_masks()
    files[bare].write_text(json.dumps(content))
    found = survey(root, files["training"], other, files["validation"])
    for labels in (found.labels, found.held_out_labels):
        assert len(list(labels.coco.objects())) == 24
        assert not any(row.get("segmentation") for row in labels.coco.objects())
    assert any("1 of 48" in note for note in found.notes)
