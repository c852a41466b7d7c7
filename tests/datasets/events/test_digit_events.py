"""Digit events: the same bytes everywhere, in N-MNIST's layout, whole or not at all."""

import hashlib

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from sklearn.neighbors import KNeighborsClassifier

from snnssl_mm.datasets import DigitEvents, generate_digit_events
from snnssl_mm.datasets.events import digit_events
from snnssl_mm.datasets.events.digit_events import iter_digit_events
from snnssl_mm.datasets.events.frames import EventFrames

COUNTS = {"num_train": 12, "num_test": 6}
DIGESTS = {
    ("train", 0, 32): (
        "7ddd13be8011716dd6d27a2d47f1b84b313b0bbf51458ce86f60c5cb53120779"
    ),
    ("test", 3, 24): (
        "a9da1d276b7b964edf7b01217d4d20d1b76f2864789b4f40d69e889942acc077"
    ),
}
"""SHA-256 of the events of 10 recordings, by split, seed and size."""


@pytest.mark.parametrize("key", DIGESTS, ids=str)
def test_same_bytes_on_every_machine(key):
    split, seed, size = key
    digest = hashlib.sha256()
    for recording, label in iter_digit_events(split, 10, size, seed):
        digest.update(recording.events.tobytes())
        digest.update(bytes([label]))
    assert digest.hexdigest() == DIGESTS[key]


def test_a_recording_does_not_depend_on_the_counts():
    few, many = (list(iter_digit_events("train", count)) for count in (3, 6))
    for (recording, label), (same, same_label) in zip(few, many, strict=False):
        np.testing.assert_array_equal(recording.events, same.events)
        assert label == same_label


def clips(split, number):
    """Frames of recordings, flat, and labels."""
    integrate = EventFrames(time_steps=4)
    frames, labels = [], []
    for recording, label in iter_digit_events(split, number):
        frames.append(integrate({"recording": recording})["img"].ravel())
        labels.append(label)
    return np.stack(frames), labels


def test_position_makes_raw_frames_weak():
    knn = KNeighborsClassifier(20, metric="cosine").fit(*clips("train", 500))
    assert 0.2 < knn.score(*clips("test", 150)) < 0.7


def test_a_sample_leads_to_its_events(tmp_path):
    init_default_scope("mmpretrain")
    dataset = DATASETS.build(
        dict(
            type="snnssl_mm.DigitEvents",
            data_root=str(tmp_path / "events"),
            pipeline=[dict(type="snnssl_mm.LoadEvents")],
            **COUNTS,
        )
    )
    assert type(dataset) is DigitEvents
    for sample, (recording, label) in zip(
        dataset, iter_digit_events("train", 12), strict=True
    ):
        assert sample["gt_label"] == label
        np.testing.assert_array_equal(sample["recording"].events, recording.events)
        assert (sample["recording"].height, sample["recording"].width) == (32, 32)


def test_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(digit_events, "write_atis", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_digit_events(tmp_path / "events", **COUNTS)
    assert list(tmp_path.iterdir()) == []


def test_generated_once_and_never_overwritten(tmp_path):
    root = generate_digit_events(tmp_path / "events", **COUNTS)
    before = (root / "meta.json").stat().st_mtime_ns
    assert generate_digit_events(root, **COUNTS) == root
    assert (root / "meta.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match=r"size=32 .*\b24\b"):
        generate_digit_events(root, size=24, **COUNTS)


def test_changed_files_are_noticed(tmp_path):
    root = generate_digit_events(tmp_path / "events", **COUNTS)
    next((root / "test").rglob("*.bin")).unlink()
    assert len(DigitEvents(root, **COUNTS)) == 12
    with pytest.raises(RuntimeError, match="events/test"):
        DigitEvents(root, split="test", **COUNTS)


@pytest.mark.parametrize(
    "wrong", [dict(size=8), dict(size=241), dict(num_test=0)], ids=str
)
def test_bad_parameters(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        generate_digit_events(tmp_path / "events", **{**COUNTS, **wrong})
    with pytest.raises(ValueError, match="'val'"):
        DigitEvents(tmp_path, split="val")
