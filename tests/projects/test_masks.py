"""Masks: which image each belongs to, and the numbers of classes."""

import numpy as np
import pytest
from PIL import Image

from snnssl_mm.projects.masks import number_classes, read_mask, values_of, write_masks
from snnssl_mm.projects.survey import survey


def save_masks(folder, pixels, palette=False, count=12, ending="", suffix="png"):
    folder.mkdir(parents=True)
    for index in range(count):
        mask = Image.fromarray(pixels, "P" if palette else None)
        if palette:
            mask.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
        mask.save(folder / f"{index:02d}{ending}.{suffix}")


@pytest.mark.parametrize("ending", ["", "_mask", "-label"])
def test_masks_beside_the_images_are_found(photos, tmp_path, ending):
    root = photos(folder="images")
    save_masks(root / "masks", np.zeros((32, 40), np.uint8), count=8, ending=ending)
    found = survey(root)
    every = found.labels.masks | found.held_out_labels.masks
    assert {file.stem for file in every} == {f"{i:02d}" for i in range(8)}
    assert len(found.train) + len(found.held_out) == 12
    assert all("masks" not in file.parts for file in found.train)


@pytest.mark.parametrize(
    ("images", "masks", "suffix"),
    [
        ("images", "mask", "png"),
        ("images", "Masks", "bmp"),
        ("JPEGImages", "SegmentationClass", "png"),
        ("train", "train_masks", "gif"),
    ],
)
def test_folders_of_masks_have_many_names(photos, images, masks, suffix):
    root = photos(folder=images)
    save_masks(root / masks, np.zeros((32, 40), np.uint8), suffix=suffix)
    found = survey(root)
    assert len(found.labels.masks) + len(found.held_out_labels.masks) == 12
    assert not found.labels.classes


def test_masks_within_each_split_are_found(photos):
    for part in ("train", "val"):
        root = photos(folder=f"{part}/images", count=4)
        save_masks(root / part / "masks", np.zeros((32, 40), np.uint8), count=4)
    found = survey(root)
    assert len(found.labels.masks) == len(found.held_out_labels.masks) == 4
    assert len(found.train) == len(found.held_out) == 4


def test_masks_that_lose_values_are_refused(photos):
    root = photos(folder="images")
    save_masks(root / "masks", np.zeros((32, 40), np.uint8), suffix="jpg")
    with pytest.raises(ValueError, match="masks"):
        survey(root)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255], [0, 1]),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1, 255], [0, 1, 255]),
        ([3, 7, 200], [0, 1, 2]),
        ([(0, 0, 0), (255, 255, 255), (0, 9, 9)], [0, 2, 1]),
    ],
)
def test_masks_of_any_values_become_class_numbers(tmp_path, photos, values, expected):
    root = photos(count=1, size=(len(values), 2))
    save_masks(tmp_path / "masks", np.array([values] * 2, np.uint8), count=1)
    image, mask = root / "00.png", tmp_path / "masks" / "00.png"
    table = number_classes(values_of([mask]))
    write_masks({image: mask}, table, root, tmp_path / "out")
    assert read_mask(tmp_path / "out" / "00.png.png").tolist() == [expected] * 2


def test_palettes_are_numbers(tmp_path):
    pixels = np.array([[0, 1, 2]], np.uint8)
    save_masks(tmp_path / "masks", pixels, palette=True, count=1)
    assert set(values_of([tmp_path / "masks" / "00.png"])) == {0, 1, 2}


def test_masks_of_another_size_are_refused(tmp_path, photos):
    root = photos(count=1)
    save_masks(tmp_path / "masks", np.zeros((16, 20), np.uint8), count=1)
    masks = {root / "00.png": tmp_path / "masks" / "00.png"}
    with pytest.raises(ValueError, match=r"20x16.*40x32"):
        write_masks(masks, {0: 0}, root, tmp_path / "out")


def test_masks_of_turned_photographs_have_the_size_that_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("L", (20, 40)).save(tmp_path / "a.png")
    masks = {tmp_path / "a.jpg": tmp_path / "a.png"}
    write_masks(masks, {0: 0}, tmp_path, tmp_path / "out")
    assert read_mask(tmp_path / "out" / "a.jpg.png").shape == (40, 20)


def test_photographs_are_no_masks(tmp_path, photos):
    with pytest.raises(ValueError, match=r"\b250\b"):
        values_of(sorted(photos(count=1, size=(40, 40)).iterdir()))


def test_masks_of_split_folders_are_paired_within_them(photos):
    for name in ("training", "validation"):
        root = photos(folder=f"images/{name}", count=4)
        (root / "annotations").mkdir(exist_ok=True)
        save_masks(root / "annotations" / name, np.zeros((32, 40), np.uint8), count=4)
    found = survey(root)
    for labels, name in (
        (found.labels, "training"),
        (found.held_out_labels, "validation"),
    ):
        assert len(labels.masks) == 4
        assert {mask.parent.name for mask in labels.masks.values()} == {name}
        assert {image.parent.name for image in labels.masks} == {name}


def pairs(found):
    """Folder of each labelled image, and that of its mask."""
    every = found.labels.masks | found.held_out_labels.masks
    return [(image.parent.name, mask.parent.name) for image, mask in every.items()]


@pytest.mark.parametrize("ending", ["", "_mask"])
def test_masks_of_one_split_are_not_given_to_another(photos, ending):
    for name in ("train", "test", "other"):
        root = photos(folder=f"images/{name}", count=4)
    save_masks(
        root / "masks" / "train", np.zeros((32, 40), np.uint8), count=4, ending=ending
    )
    save_masks(
        root / "masks" / "other", np.zeros((32, 40), np.uint8), count=4, ending=ending
    )
    found = survey(root)
    assert pairs(found) == [("train", "train")] * 4
    assert len(found.train) == 3


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_of_masks_for_two_folders_of_images_is_divided(
    photos, tmp_path, inside
):
    """Masks of images that are in both are those of neither."""
    root = photos("photos", folder="a", count=6)
    held = photos("photos" if inside else "elsewhere", folder="b", count=6)
    for name in ("00", "01"):
        file = held / "b" / f"{name}.png"
        file.rename(file.with_name(f"b{name}.png"))
    flat = np.zeros((32, 40), np.uint8)
    save_masks(tmp_path / "masks", flat, count=6)
    for name in ("00", "01"):
        Image.fromarray(flat).save(tmp_path / "masks" / f"b{name}.png")
    given = dict(val_images=held / "b", labels=tmp_path / "masks")
    found = survey(root, **given)
    assert {file.name for file in found.labels.masks} == {"00.png", "01.png"}
    assert {f.name for f in found.held_out_labels.masks} == {"b00.png", "b01.png"}
    assert any("8 images" in note for note in found.notes)


def test_masks_in_a_folder_of_images_are_theirs(photos):
    for name in ("train", "val"):
        root = photos(folder=f"{name}/images", count=4)
    save_masks(root / "train" / "masks", np.zeros((32, 40), np.uint8), count=4)
    found = survey(root)
    every = found.labels.masks | found.held_out_labels.masks
    assert {image.parent.parent.name for image in every} == {"train"}
    assert len(every) == 4


def test_masks_that_could_be_of_any_image_are_refused(photos, tmp_path):
    for name in ("a", "b"):
        root = photos(folder=name, count=4)
    save_masks(tmp_path / "masks", np.zeros((32, 40), np.uint8), count=4)
    with pytest.raises(ValueError, match=r"a/00\.png"):
        survey(root, tmp_path / "masks")


def test_given_masks_of_both_splits_are_no_images(photos, tmp_path):
    root = photos(folder="left", count=6)
    held = photos(folder="right", count=6) / "right"
    flat = np.zeros((32, 40), np.uint8)
    given = {"labels": root / "drawn", "val_labels": root / "left" / ".." / "traced"}
    for folder in given.values():
        save_masks(folder, flat, count=6)
    found = survey(root, val_images=held, **given)
    assert {file.parent.name for file in found.train} == {"left"}
    assert {file.parent.name for file in found.held_out} == {"right"}
    assert len(found.labels.masks) == len(found.held_out_labels.masks) == 6
