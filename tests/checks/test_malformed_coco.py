"""Malformed COCO files are read as mmdet reads them, or refused by name."""

import copy
import json
import math
from types import SimpleNamespace

import pytest
from downstream_tasks import write_scenes
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset

from snnssl_mm.checks.coco import (
    check_categories,
    check_masks_of_objects,
    read_annotations,
)
from snnssl_mm.datasets.data_error import DataError

CLASSES = ("square", "disc", "bar")
ODD = [
    *(None, True, 0, -1, 1.5, 10**400, math.nan, math.inf, -math.inf),
    *("", "text", "\0", "a" * 5000, [], [1], [[]], {}, {"a": 1}, [math.nan] * 4),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Folder of valid data, and the content of its annotation file."""
    root = tmp_path_factory.mktemp("coco")
    write_scenes(root)
    content = json.loads((root / "instances.json").read_text())
    return SimpleNamespace(root=root, content=content)


def check(file):
    """Check an annotation file as the pre-flight does for a model with masks."""
    content = read_annotations(str(file))
    check_categories(content, str(file), list(CLASSES), True, "train_dataloader")
    check_masks_of_objects(content, str(file), loaded=False)


def is_accepted(root, text):
    """Whether the check passes; if so, mmdet and pycocotools must read the file."""
    file = root / "spoilt.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = ""
    try:
        check(file)
    except DataError as error:
        message = str(error)
    if message:
        assert str(file) in message or "train_dataloader" in message
        assert len(message) < 6000
        return False
    dataset = CocoDataset(
        ann_file=str(file),
        metainfo=dict(classes=CLASSES),
        data_prefix=dict(img=str(root / "images")),
        pipeline=[],
        serialize_data=False,
        lazy_init=True,
    )
    samples = dataset.load_data_list()
    boxes = [box for s in samples for one in s["instances"] for box in one["bbox"]]
    assert all(map(math.isfinite, boxes))
    return True


def places(value, path=()):
    """Yield the path to every value in a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def changed(content, path, change):
    """Copy the content with one value replaced, removed or duplicated."""
    content = copy.deepcopy(content)
    if not path:
        return change if change not in ("out", "twice") else []
    owner = content
    for key in path[:-1]:
        owner = owner[key]
    if change == "out":
        del owner[path[-1]]
    elif change == "twice" and isinstance(owner, list):
        owner.append(copy.deepcopy(owner[path[-1]]))
    else:
        owner[path[-1]] = change
    return content


def test_good_file(scenes):
    assert is_accepted(scenes.root, json.dumps(scenes.content))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("images", {}, "dict.*images"),
        ("images.0", 3, r"images\[0\].*int.*id, file_name"),
        ("images.1.file_name", "out", r"images\[1\].*file_name"),
        ("images.0.width", "9", r"images\[0\].*width='9'"),
        ("images.0", "twice", "2 images.*id 0"),
        ("annotations.2", "twice", "2 annotations.*id"),
        ("annotations.0.bbox.1", math.nan, "bbox=.*nan"),
        ("annotations.0.bbox", [1, 2, 3], r"bbox=\[1, 2, 3\]"),
        ("annotations.0.area", None, "area=None"),
        ("annotations.0.image_id", 99, r"annotations\[0\].* 99\b"),
        ("annotations.0.category_id", 99, "category_id 99"),
        ("annotations.0.segmentation", "x", "segmentation='x'"),
        ("categories.0.name", None, "name=None"),
        ("categories.1", "twice", "2 categories.*id"),
        ("categories.1.name", "square", "2 categories.*name 'square'"),
    ],
)
def test_each_fault_is_named_with_its_value(scenes, place, value, message):
    path = [int(key) if key.isdecimal() else key for key in place.split(".")]
    (scenes.root / "one.json").write_text(
        json.dumps(changed(scenes.content, path, value))
    )
    with pytest.raises(DataError, match=rf"one\.json.*{message}"):
        check(scenes.root / "one.json")


@given(data=st.data())
def test_any_value_anywhere(scenes, data):
    content = scenes.content
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(content))))
        change = data.draw(st.sampled_from(["out", "twice", *ODD]))
        content = changed(content, path, change)
        if not isinstance(content, (dict, list)):
            break
    is_accepted(scenes.root, json.dumps(content))


def test_every_place_with_every_odd_value(scenes):
    """All values of the first image, annotation and category are replaced."""
    content = scenes.content
    firsts = [p for p in places(content) if len(p) < 2 or p[1] == 0]
    accepted = sum(
        is_accepted(scenes.root, json.dumps(changed(content, path, change)))
        for path in firsts[:: 1 if is_soak() else 3]
        for change in ("out", "twice", *ODD)
    )
    assert accepted > 10


def is_soak():
    """Whether there is time for every place."""
    from hypothesis import settings

    return settings.default.max_examples > 100


@given(data=st.data())
def test_cut_off_or_other_bytes(scenes, data):
    text = json.dumps(scenes.content).encode()
    length = data.draw(st.integers(0, len(text) - 1))
    assert not is_accepted(scenes.root, text[:length])
    position = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.binary(min_size=1, max_size=3))
    is_accepted(scenes.root, text[:position] + new + text[position + 1 :])


def test_nested_without_end(scenes):
    assert not is_accepted(scenes.root, "[" * 200_000)


def test_other_encodings_than_mmdet_reads(scenes):
    text = json.dumps(scenes.content)
    for encoding in ("utf-8-sig", "utf-16"):
        assert not is_accepted(scenes.root, text.encode(encoding))
