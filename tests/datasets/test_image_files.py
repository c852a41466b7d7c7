"""Which files of a folder are images, for datasets, probes and tools alike."""

import os
from collections import Counter

import pytest
from PIL import Image

from snnssl_mm.datasets.image_files import find_images, image_suffixes, list_images

PICTURE = Image.new("RGB", (8, 6), (200, 90, 10))


def put(folder, *names):
    """Write an image of the suffix's format, or a text, under each name."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        suffix = file.suffix.lower()
        kind = {".pnm": "PPM", ".jfif": "JPEG"}.get(suffix)
        if kind or suffix in Image.registered_extensions():
            PICTURE.save(file, kind)
        else:
            file.write_text("no image")


def test_every_format_in_any_case(tmp_path):
    common = "jpg jpeg jfif png webp tif tiff bmp gif ppm pgm pnm avif jp2 JPG Tiff"
    names = [f"{number}.{suffix}" for number, suffix in enumerate(common.split())]
    put(tmp_path, *names)
    found = list_images(tmp_path)
    assert found.images == sorted(names)
    assert found.note() is None
    assert not {".pdf", ".eps", ".mpg", ".h5"} & set(image_suffixes())


def test_hidden_files_and_folders_are_not_there(tmp_path):
    put(
        tmp_path,
        "a/1.png",
        ".ipynb_checkpoints/1-checkpoint.png",
        "a/.ipynb_checkpoints/1.png",
        "a/._1.png",
        "a/.DS_Store",
        "__MACOSX/a/1.png",
        "a/Thumbs.db",
        "desktop.ini",
    )
    found = list_images(tmp_path)
    assert found.images == ["a/1.png"]
    assert found.note() is None


def test_what_is_passed_over_is_counted(tmp_path):
    put(tmp_path, "1.png", "a/1.txt", "a/2.TXT", "b/c/labels.json", "README")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    found = list_images(tmp_path)
    assert found.images == ["1.png"]
    kinds = {".txt": 2, ".json": 1, "without suffix": 1, ".png": 1}
    assert found.passed_over == Counter(kinds)
    note = found.note()
    assert note.startswith(f"{tmp_path}: 5 files")
    assert "2 .txt" in note
    assert "\n" not in note


def test_links_are_followed_and_circles_end(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    put(root, "a/1.png")
    put(elsewhere, "2.png", "deep/3.png")
    (root / "b").symlink_to(elsewhere)
    (root / "a" / "4.png").symlink_to(elsewhere / "2.png")
    (root / "a" / "up").symlink_to(root)
    (elsewhere / "self").symlink_to(".")
    (elsewhere / "deep" / "other").symlink_to(root / "a")
    (root / "ring").symlink_to(root / "ring")
    found = list_images(root)
    assert found.images == [
        "a/1.png",
        "a/4.png",
        "b/2.png",
        "b/deep/3.png",
        "b/deep/other/1.png",
        "b/deep/other/4.png",
    ]
    assert found.skipped_folders == 3, "up, self, other/up"


def test_a_broken_link_is_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    assert list_images(tmp_path).images == ["1.png"]


def test_tools_take_one_folder_or_one_file(tmp_path):
    put(tmp_path, "2.WEBP", "1.png", "a/3.png", "notes.txt", ".hidden.png")
    assert [path.name for path in find_images(tmp_path)] == ["1.png", "2.WEBP"]
    assert "1 sub-folder was not entered" in list_images(tmp_path, False).note()
    assert find_images(str(tmp_path / "1.png")) == [tmp_path / "1.png"]
    with pytest.raises(ValueError, match="none"):
        find_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        find_images(tmp_path / "empty")
