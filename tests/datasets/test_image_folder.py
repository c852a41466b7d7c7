import codecs
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from snnssl_mm.datasets import ImageFolder
from snnssl_mm.datasets.label_file import read_label_file

CONFIGS = Path(__file__).parents[2] / "configs" / "_base_" / "datasets"
LOAD = {"type": "snnssl_mm.LoadIntactImage"}


@pytest.fixture
def folder(tmp_path):
    """Six images in two classes."""
    rng = np.random.default_rng(0)
    for index in range(6):
        path = tmp_path / "train" / "ab"[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    return tmp_path / "train"


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


@pytest.fixture
def log(caplog):
    """What mmengine's logger says; it does not propagate to the root logger."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def truncate(path):
    """Keep the header, lose the second half of the pixels."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_labels_come_from_sub_folders_or_not_at_all(folder):
    assert ImageFolder(folder).get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1]
    unlabelled = ImageFolder(folder, with_label=False)
    assert len(unlabelled) == 6
    assert "gt_label" not in unlabelled.get_data_info(0)


def test_missing_or_empty_folder_is_named_with_the_remedy(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*data_root"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        ImageFolder(tmp_path / "empty", with_label=False)
    with pytest.raises(FileNotFoundError, match="with_label"):
        ImageFolder(folder / "a")


def test_unreadable_images_stop_the_run_by_name(folder):
    (folder / "a" / "broken.jpg").write_bytes(b"no image")
    (folder / "b" / "void.png").touch()
    with pytest.raises(ValueError, match=r"2 of 8 (.|\n)*broken.jpg(.|\n)*void.png"):
        ImageFolder(folder)
    with pytest.raises(ValueError, match="on_error.*'ignore'"):
        ImageFolder(folder, on_error="ignore")


def test_unreadable_images_are_skipped_with_their_number(folder, log):
    (folder / "a" / "broken.jpg").write_bytes(b"no image")
    dataset = ImageFolder(folder, on_error="skip", pipeline=[LOAD])
    assert len([dataset[index] for index in range(len(dataset))]) == 6
    assert "1 of 7 images" in log.text
    assert "broken.jpg" in log.text


def test_truncated_images_are_found_before_training(folder):
    truncate(folder / "a" / "0.jpg")
    with pytest.raises(ValueError, match=r"1 of 6 (.|\n)*0.jpg.*truncated"):
        ImageFolder(folder)
    assert len(ImageFolder(folder, on_error="skip")) == 5
    with pytest.raises(ValueError, match="verify.*True"):
        ImageFolder(folder, verify=True)


def test_small_images_are_named_with_their_size(folder):
    Image.new("RGB", (20, 50)).save(folder / "a" / "small.png")
    with pytest.raises(ValueError, match=r"small\.png.*20 x 50.*32"):
        ImageFolder(folder, min_size=32)
    assert len(ImageFolder(folder, min_size=32, on_error="skip")) == 6


@pytest.mark.parametrize("verify", ["header", None])
def test_damage_behind_the_header_shows_when_decoding(folder, verify, log):
    truncate(folder / "a" / "0.jpg")
    strict = ImageFolder(folder, verify=verify, pipeline=[LOAD])
    with pytest.raises(ValueError, match=r"0\.jpg.*truncated"):
        strict[0]
    lenient = ImageFolder(folder, verify=verify, on_error="skip", pipeline=[LOAD])
    for _ in range(3):
        assert lenient[0]["img"].shape == (40, 48, 3)
    assert lenient.num_skipped >= 3
    assert log.text.count("Samples replaced") == 1
    assert "0.jpg" in log.text


def test_evaluation_never_swaps_a_sample(folder):
    truncate(folder / "a" / "0.jpg")
    options = dict(on_error="skip", test_mode=True, verify="header")
    dataset = ImageFolder(folder, pipeline=[LOAD], **options)
    with pytest.raises(ValueError, match=r"0\.jpg"):
        dataset[0]


def test_errors_of_transforms_are_not_hidden(folder):
    def fail(results):
        raise ZeroDivisionError

    dataset = ImageFolder(folder, on_error="skip", pipeline=[LOAD, fail])
    with pytest.raises(ZeroDivisionError) as caught:
        dataset[0]
    assert "0.jpg" in caught.value.__notes__[0]


@pytest.mark.parametrize(("name", "size"), [("_32", 32), ("", 224)])
def test_recipe_runs_on_a_folder(folder, name, size):
    config = Config.fromfile(CONFIGS / f"image_folder{name}.py")
    for loader in (config.train_dataloader, config.eval_train_dataloader):
        loader.dataset.data_root = str(folder.parent)
    views = DATASETS.build(config.train_dataloader.dataset)[0]["inputs"]
    assert [tuple(view.shape) for view in views] == 2 * [(3, size, size)]
    sample = DATASETS.build(config.eval_train_dataloader.dataset)[5]
    assert tuple(sample["inputs"].shape) == (3, size, size)
    assert sample["data_samples"].gt_label.item() == 1


def test_classes_are_visible_folders_and_links_to_folders(folder, tmp_path, log):
    copy = folder / ".ipynb_checkpoints" / "0-checkpoint.jpg"
    copy.parent.mkdir()
    copy.write_bytes((folder / "a" / "0.jpg").read_bytes())
    (folder / "a" / "0.jpg").rename(tmp_path / "0.jpg")
    (folder / "a" / "0.jpg").symlink_to(tmp_path / "0.jpg")
    (folder / "b").rename(tmp_path / "elsewhere")
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    Image.new("RGB", (9, 9)).save(folder / "b" / "9.WEBP")
    dataset = ImageFolder(folder)
    assert dataset.metainfo["classes"] == ("a", "b")
    assert dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert log.text == ""


def test_whatever_is_left_out_or_empty_is_said(folder, log):
    (folder / "notes.txt").touch()
    Image.new("RGB", (9, 9)).save(folder / "stray.png")
    (folder / "c").mkdir()
    for _ in range(2):
        dataset = ImageFolder(folder)
    assert dataset.metainfo["classes"] == ("a", "b", "c")
    assert len(dataset) == 6
    assert log.text.count("1 .txt") == 1
    assert "1 images outside" in log.text
    assert "(c)" in log.text


def test_given_classes_number_the_folders_by_their_names(folder):
    options = dict(metainfo=dict(classes=["b", "z", "a"]))
    assert ImageFolder(folder, **options).get_gt_labels().tolist() == [2] * 3 + [0] * 3
    renamed = ImageFolder(folder, metainfo=dict(classes=["ant", "bee"]))
    assert renamed.get_gt_labels().tolist() == [0] * 3 + [1] * 3
    with pytest.raises(ValueError, match=r"\['b'\]"):
        ImageFolder(folder, metainfo=dict(classes=["a"]))
    with pytest.raises(ValueError, match=r"\['b'\]"):
        ImageFolder(folder, metainfo=dict(classes=["B", "a"]))  # would exchange them


@pytest.mark.parametrize("verify", ["decode", "header"])
def test_unusual_files_are_counted_in_one_line(folder, verify, log):
    for index, largest in enumerate([4095, 4000, 900]):
        values = np.full((40, 48), largest, np.uint16)
        Image.fromarray(values).save(folder / "a" / f"deep{index}.png")
    Image.new("LA", (40, 48), (9, 100)).save(folder / "b" / "clear.png")
    ImageFolder(folder, verify=verify)
    (line,) = [line for line in log.text.splitlines() if "16 bits" in line]
    assert "of 10 images, 3 with 16 bits" in line
    assert "1 with" in line
    assert ("2 from 12, 1 from 10" in line) == (verify == "decode")


@pytest.fixture
def labels(tmp_path, folder):
    """Write a label file beside the folder; return the arguments that use it."""

    def write(*lines):
        (tmp_path / "labels.txt").write_text("\n".join(lines))
        return dict(
            data_root=tmp_path, data_prefix=folder.name, label_file="labels.txt"
        )

    return write


def test_a_label_file_tells_the_classes_in_the_order_of_the_paths(labels):
    """The images are a/0, a/2, a/4, b/1, b/3, b/5; their folders do not matter."""
    options = labels("rose", "oak", "rose", "fern", "oak", "oak", "")
    dataset = ImageFolder(**options)
    paths = [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(6)]
    assert paths == ["0", "2", "4", "1", "3", "5"]
    assert dataset.metainfo["classes"] == ("fern", "oak", "rose")
    assert dataset.get_gt_labels().tolist() == [2, 1, 2, 0, 1, 1]
    named = ImageFolder(metainfo=dict(classes=["rose", "oak", "fern"]), **options)
    assert named.get_gt_labels().tolist() == [0, 1, 0, 2, 1, 1]


def test_numbers_in_a_label_file_are_ordered_by_value(labels):
    dataset = ImageFolder(**labels("10", "2", "-1", "2", "10", "2"))
    assert dataset.metainfo["classes"] == ("-1", "2", "10")
    assert dataset.get_gt_labels().tolist() == [2, 1, 0, 1, 2, 1]


def test_labels_stay_with_their_images_when_some_are_skipped(labels, folder):
    (folder / "a" / "2.jpg").write_bytes(b"no image")
    options = labels("rose", "oak", "rose", "fern", "oak", "oak")
    dataset = ImageFolder(on_error="skip", **options)
    assert dataset.get_gt_labels().tolist() == [2, 2, 0, 1, 1]


def test_label_files_that_do_not_fit_are_refused(labels, tmp_path):
    with pytest.raises(ValueError, match=r"labels\.txt.* 5 .* 6 images"):
        ImageFolder(**labels("a", "b", "a", "b", "a"))
    with pytest.raises(ValueError, match=r"Line 3 .*labels\.txt"):
        ImageFolder(**labels("a", "b", "", "b", "a", "a"))
    options = labels("a", "b", "a", "b", "a", "cactus")
    with pytest.raises(ValueError, match="'cactus'"):
        ImageFolder(metainfo=dict(classes=["a", "b"]), **options)
    names = ["a/0", "a/2", "a/4", "b/1", "b/3", "b/5"]
    with pytest.raises(ValueError, match=r"'a/0\.jpg x'"):
        ImageFolder(**labels(*(f"{name}.jpg x" for name in names)))
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.txt"):
        ImageFolder(**options)


ENCODINGS = {
    "UTF-8": "rosé\noak\n".encode(),
    "with its mark": "rosé\noak\n".encode("utf-8-sig"),
    "of Windows": "rosé\r\noak\r\n\r\n".encode("utf-8-sig"),
    "of old Macs": "rosé\roak".encode(),
    "UTF-16": "rosé\r\noak".encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + "rosé\noak".encode("utf-16-be"),
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_text_files_of_every_system_are_read(tmp_path, kind):
    (tmp_path / "labels.txt").write_bytes(ENCODINGS[kind])
    assert read_label_file(tmp_path / "labels.txt") == ["rosé", "oak"]


@pytest.mark.parametrize(
    "content",
    ["oak\nrosé".encode("latin-1"), "oak".encode("utf-16-le"), b"\xff\xfe\x00"],
)
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"labels\.txt .*UTF-(8|16)"):
        read_label_file(tmp_path / "labels.txt")


def test_an_annotation_file_names_images_and_their_classes(folder, tmp_path):
    file = tmp_path / "train.txt"
    file.write_bytes("b/1.jpg 1\r\na/0.jpg 0\r\n".encode("utf-8-sig"))
    options = dict(data_root=str(tmp_path), ann_file="train.txt", data_prefix="train")
    dataset = ImageFolder(metainfo=dict(classes=["x", "y"]), **options)
    assert dataset.get_gt_labels().tolist() == [1, 0]
    file.write_text("b/1.jpg\t1\na/0.jpg\t0\n")
    assert ImageFolder(**options).get_gt_labels().tolist() == [1, 0]
    file.write_text("a/0.jpg 0\nb/1.jpg\n")
    with pytest.raises(ValueError, match=r"Line 2 .*train\.txt"):
        ImageFolder(**options)
    file.write_text("a/0.jpg\n")
    assert len(ImageFolder(with_label=False, **options)) == 1


@pytest.mark.parametrize("with_label", [False, True])
def test_blanks_at_the_start_of_a_path_belong_to_it(folder, tmp_path, with_label):
    (folder / "a" / "0.jpg").rename(folder / " 0.jpg")
    lines = [" 0.jpg", "b/1.jpg"]
    if with_label:
        lines = [f"{line} 0 " for line in lines]
    (tmp_path / "train.txt").write_text("\r\n".join(lines))
    options = dict(data_root=str(tmp_path), ann_file="train.txt", data_prefix="train")
    dataset = ImageFolder(with_label=with_label, **options)
    paths = [Path(dataset.get_data_info(i)["img_path"]) for i in range(2)]
    assert paths == [folder / " 0.jpg", folder / "b" / "1.jpg"]
