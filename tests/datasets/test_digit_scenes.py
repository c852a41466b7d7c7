import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from snnssl_mm.datasets import DigitScenes, digit_scenes, generate_digit_scenes
from snnssl_mm.datasets.digit_scenes import iter_digit_scenes, split_digits
from snnssl_mm.datasets.scene_drawing import (
    COVERAGE,
    Placement,
    place_digit,
    random_placement,
)

COUNTS = {"num_train": 30, "num_test": 20}


def read_all(root: Path) -> dict[str, bytes]:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def test_same_bytes_for_same_seed(tmp_path):
    first, second, other = (
        read_all(generate_digit_scenes(tmp_path / name, seed=seed, **COUNTS))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert len(first) == 51
    assert first == second
    assert first.keys() != other.keys() or first != other


def test_scene_does_not_depend_on_the_counts():
    few, many = (list(iter_digit_scenes("train", count)) for count in (5, 9))
    for (scene, label), (same_scene, same_label) in zip(few, many, strict=False):
        np.testing.assert_array_equal(scene, same_scene)
        assert label == same_label


def test_geometry_scales_with_the_canvas():
    for (small, _), (large, _) in zip(
        iter_digit_scenes("test", 10, size=32),
        iter_digit_scenes("test", 10, size=64),
        strict=True,
    ):
        shrunk = cv2.resize(large, (32, 32), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_share_no_digit_and_keep_class_shares(seed):
    (train, train_labels), (test, test_labels) = (
        split_digits(split, seed) for split in ("train", "test")
    )
    assert len(train) + len(test) == 1797
    seen = {digit.tobytes() for digit in train}
    assert not any(digit.tobytes() in seen for digit in test)
    shares = np.bincount(train_labels) / np.bincount(test_labels)
    np.testing.assert_allclose(shares, 3, atol=0.15)


def test_every_digit_lies_on_the_canvas_whole():
    """On a canvas twice as large, all of the digit lies in the middle.

    Except for 2 % at most, the outer fringe of the interpolation; OpenCV rounds
    positions to 1/32 pixel, hence the tolerance.
    """
    rng = np.random.default_rng(0)
    for digit in split_digits("train")[0]:
        placement = random_placement(digit, rng)
        assert COVERAGE[0] <= placement.coverage <= COVERAGE[1]
        x, y = placement.center
        wide = Placement(
            placement.coverage / 2, placement.rotation, (0.25 + x / 2, 0.25 + y / 2)
        )
        canvas, _ = place_digit(digit, placement, 16)
        wide_canvas, _ = place_digit(digit, wide, 32)
        np.testing.assert_allclose(wide_canvas[8:24, 8:24], canvas, atol=0.06)
        assert canvas.sum() > 0.975 * wide_canvas.sum()


def test_position_makes_raw_pixels_weak():
    (train, train_labels), (test, test_labels) = (
        zip(*iter_digit_scenes(split, count), strict=True)
        for split, count in (("train", 4000), ("test", 500))
    )
    knn = KNeighborsClassifier(20, metric="cosine")
    knn.fit(np.reshape(train, (4000, -1)), train_labels)
    assert 0.6 < knn.score(np.reshape(test, (500, -1)), test_labels) < 0.8


def test_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(digit_scenes.cv2, "imwrite", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate_digit_scenes(tmp_path / "scenes", **COUNTS)
    assert list(tmp_path.iterdir()) == []
    # A process that was killed leaves its temporary folder; nobody takes it.
    (tmp_path / ".scenes-killed" / "scenes").mkdir(parents=True)
    assert len(DigitScenes(tmp_path / "scenes", **COUNTS)) == 30


def test_two_processes_may_generate_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "scenes", 16, 300, 300)
    processes = [
        context.Process(target=generate_digit_scenes, args=arguments) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
    assert len(read_all(tmp_path / "scenes")) == 601


def test_existing_scenes_are_kept(tmp_path):
    root = generate_digit_scenes(tmp_path / "scenes", **COUNTS)
    before = (root / "meta.json").stat().st_mtime_ns
    assert generate_digit_scenes(root, **COUNTS) == root
    assert (root / "meta.json").stat().st_mtime_ns == before


def test_errors_say_what_differs_and_what_to_do(tmp_path):
    root = generate_digit_scenes(tmp_path / "scenes", **COUNTS)
    with pytest.raises(FileExistsError, match=r"size=16 .*\b32\b"):
        generate_digit_scenes(root, size=32, **COUNTS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="other.*digit scenes"):
        generate_digit_scenes(tmp_path / "other", **COUNTS)
    with pytest.raises(ValueError, match="size=8"):
        generate_digit_scenes(tmp_path / "tiny", size=8)
    with pytest.raises(ValueError, match="'val'"):
        DigitScenes(root, split="val")


def test_changed_files_are_noticed(tmp_path):
    root = generate_digit_scenes(tmp_path / "scenes", **COUNTS)
    next((root / "test").rglob("*.png")).unlink()
    assert len(DigitScenes(root, **COUNTS)) == 30
    with pytest.raises(RuntimeError, match="scenes/test"):
        DigitScenes(root, split="test", **COUNTS)


def test_dataset_yields_the_scenes_in_order(tmp_path):
    dataset = DigitScenes(tmp_path / "scenes", **COUNTS)
    for index, (scene, label) in enumerate(iter_digit_scenes("train", 30)):
        info = dataset.get_data_info(index)
        assert info["gt_label"] == label
        np.testing.assert_array_equal(info["img"], np.repeat(scene[..., None], 3, 2))
