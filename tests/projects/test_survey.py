"""Looking at folders: which labels there are, and what is held out."""

import json

import pytest
from PIL import Image

from snnssl_mm.projects.held_out import drawn
from snnssl_mm.projects.survey import images_below, shown_size, survey


def test_images_without_labels_are_all_learned_from(photos):
    found = survey(photos())
    assert (len(found.train), found.held_out) == (12, [])
    assert (found.width, found.height) == (40, 32)
    assert not found.labels.images()


def test_hidden_files_are_passed_over_and_links_followed(photos, tmp_path):
    root = photos()
    photos(folder=".ipynb_checkpoints", count=1)
    (root / "more").symlink_to(photos("elsewhere", count=2))
    (root / "around").symlink_to(root)
    (root / ".hidden.png").write_bytes(b"")
    assert len(images_below(root)) == 14


def test_turned_photographs_have_the_size_that_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert shown_size(tmp_path / "a.jpg") == (20, 40)


def test_folders_are_classes_and_each_keeps_its_share(photos):
    root = photos(folder="cat", count=10)
    photos(folder="dog", count=5)
    found = survey(root)
    held = [found.held_out_labels.classes[file] for file in found.held_out]
    assert sorted(held) == ["cat", "cat", "dog"]
    assert set(found.labels.classes) == set(found.train)
    assert not set(found.train) & set(found.held_out)
    assert survey(root).held_out == found.held_out


@pytest.mark.parametrize(
    "names", [("train", "val"), ("training", "test"), ("Train", "Test")]
)
def test_a_split_that_is_there_is_kept(photos, names):
    for name in names:
        for pet in ("cat", "dog"):
            root = photos(folder=f"{name}/{pet}", count=4)
    found = survey(root)
    assert {file.parent.parent.name for file in found.train} == {names[0]}
    assert {file.parent.parent.name for file in found.held_out} == {names[1]}
    assert set(found.held_out_labels.classes.values()) == {"cat", "dog"}


def test_folders_that_hold_one_folder_only_are_entered(photos):
    for part in ("train", "val"):
        for pet in ("cat", "dog"):
            root = photos(folder=f"archive/data/{part}/{pet}", count=4)
    found = survey(root)
    assert set(found.labels.classes.values()) == {"cat", "dog"}
    assert len(found.train) == len(found.held_out) == 8


def test_a_stray_image_does_not_undo_the_classes_and_is_counted(photos):
    for pet in ("cat", "dog"):
        photos(folder=pet, count=6)
    root = photos(count=1)
    found = survey(root)
    assert set(found.labels.classes.values()) == {"cat", "dog"}
    assert root / "00.png" not in [*found.train, *found.held_out]
    assert any(str(root / "00.png") in note for note in found.notes)


def test_validation_inside_of_the_class_folders_is_not_trained_on(photos):
    for folder in ("cat", "dog", "held/cat", "held/dog"):
        root = photos(folder=folder, count=6)
    found = survey(root, val_images=root / "held")
    assert found.labels.classes == {f: f.parent.name for f in found.train}
    assert {file.parent.name for file in found.train} == {"cat", "dog"}
    assert len(found.train) == len(found.held_out) == 12
    assert not set(found.train) & set(found.held_out)


@pytest.mark.parametrize("names", [("with_mask", "no_mask"), ("mask", "face")])
def test_classes_about_masks_are_no_masks(photos, names):
    for start, name in enumerate(names):
        root = photos(folder=name, count=6)
        for file in sorted((root / name).iterdir()):
            file.rename(file.with_name(f"{start}{file.name}"))
    found = survey(root)
    assert set(found.labels.classes.values()) == set(names)
    assert not found.labels.masks


def test_coco_files_are_found_and_split_by_images(photos, coco_file):
    root = photos()
    coco_file(root, "photos/instances.json")
    found = survey(root)
    mine, theirs = found.labels.coco, found.held_out_labels.coco
    assert (len(mine.files), len(theirs.files)) == (10, 2)
    assert set(theirs.files.values()) == set(found.held_out)
    assert mine.smallest_object_side() == 8
    assert len(list(theirs.objects())) == 4


def test_notes_name_labels_from_the_working_directory(photos, coco_file, monkeypatch):
    root = photos()
    file = coco_file(root, "photos/instances.json")
    monkeypatch.chdir(root.parent)
    assert survey(root).notes[0] == "Labels were found in photos/instances.json."
    (root.parent / "elsewhere").mkdir()
    monkeypatch.chdir(root.parent / "elsewhere")
    assert survey(root).notes[0] == f"Labels were found in {file}."


def test_images_of_other_coco_files_are_left_out(photos, coco_file):
    root = photos(folder="images")
    (root / "annotations").mkdir()
    files = sorted(root.rglob("*.png"))
    parts = {"train": files[:6], "val": files[6:9], "test": files[9:]}
    for name, part in parts.items():
        images = [
            dict(id=i, file_name=f.name, width=40, height=32)
            for i, f in enumerate(part)
        ]
        rows = [
            dict(id=i, image_id=i, category_id=3, bbox=[0, 0, 9, 9]) for i in range(3)
        ]
        coco_file(
            root, f"photos/annotations/{name}.json", images=images, annotations=rows
        )
    found = survey(root)
    assert found.train == parts["train"]
    assert found.held_out == parts["val"]


@pytest.mark.parametrize("folder", ["unlabelled", "test_site", "masks"])
def test_images_without_labels_are_pretrained_on_but_not_of_other_splits(
    photos, coco_file, folder
):
    """Folders of masks and of held out images are told by their names, and noted."""
    photos(folder="labelled", count=10)
    root = photos(folder=f"{folder}/north", count=90)
    for file in (root / folder / "north").iterdir():
        file.rename(file.with_name(f"new{file.name}"))
    found = survey(root, coco_file(root / "labelled", count=10))
    new = [file for file in found.train if "north" in file.parts]
    assert len(found.train) - len(new) == 8
    assert len(new) == (90 if folder == "unlabelled" else 0)
    assert any("90 images" in note for note in found.notes) == (not new)


def test_folders_with_labelled_images_are_used_whatever_their_names(photos, coco_file):
    for name in ("north", "south"):
        root = photos(folder=f"test site/{name}", count=12)
    for file in (root / "test site" / "south").iterdir():
        file.rename(file.with_name(f"new{file.name}"))
    photos(folder="more", count=1)
    found = survey(root, coco_file(root / "test site" / "north"))
    assert len(found.train) == 10 + 12 + 1


def test_images_that_are_held_out_and_labelled_for_training_are_held_out(
    photos, coco_file
):
    root = photos()
    files = sorted(root.iterdir())
    every = coco_file(root)
    found = survey(root, every, val_labels=coco_file(root, "val.json", count=4))
    assert found.held_out == files[:4]
    assert found.train == sorted(found.labels.images()) == files[4:]
    assert any("4 images" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(images=[dict(id=0, file_name="gone.jpg")]), "gone.jpg"),
        (dict(annotations=[]), "no annotations"),
        (dict(categories=[]), "category 3"),
    ],
)
def test_coco_files_that_do_not_fit_are_refused(photos, coco_file, changes, message):
    root = photos()
    with pytest.raises(ValueError, match=message):
        survey(root, coco_file(root, **changes))


def test_the_choice_between_coco_files_is_the_users(photos, coco_file):
    root = photos()
    for name in ("a", "b"):
        coco_file(root, f"photos/{name}.json")
    with pytest.raises(ValueError, match="--labels"):
        survey(root)


@pytest.mark.parametrize("kind", ["objects", "masks"])
def test_labels_of_the_training_folder_only_are_split(
    photos, coco_file, tmp_path, kind
):
    """The images of validation, without labels, are left out and named."""
    photos(folder="training")
    root = photos(folder="validation", count=4)
    for file in (root / "validation").iterdir():
        file.rename(file.with_name(f"val{file.name}"))
    labels = coco_file(root / "training", "photos/boxes.json")
    if kind == "masks":
        labels = tmp_path / "masks"
        labels.mkdir()
        for file in (root / "training").iterdir():
            Image.new("L", (40, 32)).save(labels / file.name)
    found = survey(root, labels)
    assert (len(found.train), len(found.held_out)) == (10, 2)
    assert {file.parent.name for file in found.held_out} == {"training"}
    assert found.held_out_labels.images() == set(found.held_out)
    assert any("4 images of validation" in note for note in found.notes)


def test_label_files_in_use_are_not_counted_as_skipped(photos, coco_file, monkeypatch):
    from snnssl_mm.datasets import image_files

    root, said = photos(), []
    file = coco_file(root, "photos/boxes.json")
    monkeypatch.setattr(image_files, "log_once", said.append)
    survey(root, file)
    survey(root)
    assert not said
    (root / "other.json").touch()
    survey(root, file)
    assert "1 .json" in said[0]


def test_one_coco_file_about_both_splits_is_divided(photos, coco_file):
    for part, count in (("train", 8), ("val", 4)):
        root = photos(folder=part, count=count)
    for file in (root / "val").iterdir():
        file.rename(file.with_name(f"val{file.name}"))
    coco_file(root, "photos/all.json")
    found = survey(root)
    for coco, part in (
        (found.labels.coco, "train"),
        (found.held_out_labels.coco, "val"),
    ):
        assert {file.parent.name for file in coco.files.values()} == {part}


def test_coco_files_beside_the_images_count_if_they_are_about_them(photos, coco_file):
    (photos().parent / "annotations").mkdir()
    coco_file(photos("others"), "annotations/instances.json")
    root = photos("mine", folder="new")
    for file in (root / "new").iterdir():
        file.rename(file.with_name(f"new{file.name}"))
    assert not survey(root).labels.images()


def test_a_folder_without_images_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError):
            survey(folder)


def test_splits_are_a_fifth_and_never_everything(tmp_path):
    files = [tmp_path / str(index) for index in range(20)]
    assert len(drawn(files)) == 4
    assert len(drawn(files[:2])) == 1


def test_files_of_other_json_are_not_taken_for_labels(photos):
    root = photos()
    (root / "metadata.json").write_text(json.dumps({"images": 3}))
    assert survey(root).labels.coco is None


def test_images_of_the_same_name_are_those_of_the_files_own_split(photos, coco_file):
    for name in ("train2017", "val2017", "other/val2017"):
        root = photos(folder=name, count=4)
    (root / "annotations").mkdir()
    for name in ("train2017", "val2017"):
        coco_file(root / name, f"photos/annotations/instances_{name}.json")
    found = survey(root)
    assert {file.parent for file in found.train} == {root / "train2017"}
    assert {file.parent for file in found.held_out} == {root / "val2017"}


def test_coco_files_inside_of_the_splits_folders_are_told_apart(photos, coco_file):
    for name in ("train", "valid", "test"):
        root = photos(folder=name, count=4)
        coco_file(root / name, f"photos/{name}/_annotations.coco.json")
    found = survey(root)
    assert {file.parent.name for file in found.train} == {"train"}
    assert {file.parent.name for file in found.held_out} == {"valid"}
