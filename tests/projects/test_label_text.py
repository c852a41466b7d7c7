"""Text files with classes of images: tables and lists, in any encoding."""

import pytest

from snnssl_mm.projects.survey import survey


@pytest.mark.parametrize(
    "line", ["{name},{pet}", "{name}\t{pet}", "{name} {pet}", "{pet}", "\ufeff{pet}"]
)
def test_label_files_name_a_class_for_each_image(photos, tmp_path, line):
    root = photos()
    pets = ["cat", "dog"] * 6
    lines = [line.format(name=f"{i:02d}.png", pet=pet) for i, pet in enumerate(pets)]
    text = "\n".join(lines)
    (tmp_path / "labels.csv").write_text(text[:1] + text[1:].replace("\ufeff", ""))
    found = survey(root, tmp_path / "labels.csv")
    every = found.labels.classes | found.held_out_labels.classes
    assert [every[file] for file in sorted(every)] == pets


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("file,label", "{name}.png,{pet}"),
        ("id,breed", "{name},{pet}"),
        ("label;file", "{pet};./photos/{name}.png"),
        ("file,width,class", "{name}.png,40,{pet}"),
        ("file,label", '"{name}.png","{pet}"'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_labels_are_read_as_they_come(photos, tmp_path, head, line, encoding):
    root, pets = photos(), ["käfer", "dog"] * 6
    lines = [line.format(name=f"{i:02d}", pet=pet) for i, pet in enumerate(pets)]
    (tmp_path / "labels.csv").write_text("\n".join([head, *lines]), encoding=encoding)
    found = survey(root, tmp_path / "labels.csv")
    every = found.labels.classes | found.held_out_labels.classes
    assert [every[file] for file in sorted(every)] == pets


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,cat,dog", "00.png,1,0", "01.png,0,1"], "3 columns"),
        (["00.png,cat", "01.png,"], "no class"),
        (["00.png,cat", "00.png,dog"], "'cat' and 'dog'"),
        (["00.png,k\udce4fer", "01.png,dog"], "0xe4"),
    ],
)
def test_labels_that_are_unclear_are_refused(photos, tmp_path, lines, message):
    text = "\n".join(lines).encode(errors="surrogateescape")
    (tmp_path / "labels.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        survey(photos(), tmp_path / "labels.csv")


def test_a_name_that_two_images_have_is_no_label(photos, tmp_path):
    for folder in ("a", "b"):
        root = photos(folder=folder, count=2)
    (tmp_path / "labels.csv").write_text("00.png,cat\na/01.png,dog\n")
    with pytest.raises(ValueError, match=r"'00\.png'"):
        survey(root, tmp_path / "labels.csv")


def test_label_files_of_other_images_are_refused(photos, tmp_path):
    (tmp_path / "labels.txt").write_text("a.png,cat\nb.png,dog\n")
    with pytest.raises(ValueError, match=r"'a\.png'"):
        survey(photos(), tmp_path / "labels.txt")


def test_lines_of_classes_follow_the_sorted_paths_of_all_splits(photos, tmp_path):
    """Test images are before those of training; others count, but are not used."""
    for name in ("train", "test", "other"):
        root = photos(folder=name, count=4)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    (tmp_path / "labels.txt").write_text(
        "\n".join(path.replace("/", "-") for path in files)
    )
    found = survey(root, tmp_path / "labels.txt")
    for labels, name in ((found.labels, "train"), (found.held_out_labels, "test")):
        assert len(labels.classes) == 4
        for file, pet in labels.classes.items():
            assert pet == file.relative_to(root).as_posix().replace("/", "-")
            assert file.parent.name == name


def test_lines_of_classes_follow_paths_as_text(photos, tmp_path):
    """``a-b/`` is before ``a/``, as in datasets, whatever the order of folders."""
    for name in ("a", "a-b"):
        root = photos(folder=name, count=4)
    (tmp_path / "labels.txt").write_text("\n".join(["a-b"] * 4 + ["a"] * 4))
    found = survey(root, tmp_path / "labels.txt")
    every = found.labels.classes | found.held_out_labels.classes
    assert all(file.parent.name == pet for file, pet in every.items())


def test_unlabelled_images_beside_a_table_are_pretrained_on(photos, tmp_path):
    for name in ("a", "b"):
        root = photos(folder=name, count=10)
    lines = [f"a/{i:02d}.png,{'xy'[i % 2]}" for i in range(10)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = survey(root, tmp_path / "labels.csv")
    assert len(found.train) == 18
    assert not set(found.train) & set(found.held_out)
