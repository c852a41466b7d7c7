"""Lists of images: every name is read as it was written, or refused."""

import os

import pytest

from snnssl_mm.datasets.label_file import read_annotation_file
from snnssl_mm.projects.survey import survey
from snnssl_mm.projects.write import Data

NAMES = [" first.png", "a  b.PNG", "#1,2;3.png", " folder /x.y.png", "größe 猫.png"]


def renamed(root, name):
    """Give one of the images another name."""
    file = os.path.join(os.fsencode(root), name)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    os.rename(min(root.glob("??.png")), file)


def test_readers_of_lists_find_files_of_any_name(photos, tmp_path):
    root = photos()
    for name in NAMES:
        renamed(root, name.encode())
    found = survey(root)
    data = Data(found, tmp_path, 32)
    listed = read_annotation_file(tmp_path / "train.txt", with_label=False)
    assert [root / row["img_path"] for row in listed] == found.train
    numbers = {file: index for index, file in enumerate(found.train)}
    data.write_list("labelled.txt", found.train, numbers)
    rows = read_annotation_file(tmp_path / "labelled.txt", True)
    assert {root / row["img_path"]: row["gt_label"] for row in rows} == numbers
    stripped = [line.strip() for line in (tmp_path / "train.txt").open()]  # as in mmseg
    assert [root / path for path in stripped] == found.train


@pytest.mark.parametrize("name", [b"\xe9t\xe9.png", b"a\nb.png", b"a\rb.png"])
def test_names_that_are_no_line_of_text_are_refused(photos, tmp_path, name):
    root = photos()
    renamed(root, name)
    with pytest.raises(ValueError, match="b" if b"b" in name else "udce9"):
        Data(survey(root), tmp_path, 32)
    assert not (tmp_path / "train.txt").exists()
