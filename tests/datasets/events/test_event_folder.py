"""Folders of recordings: your own, and published datasets in both layouts."""

import numpy as np
import pytest
import torch
from made_recordings import made_recording, write_recordings
from mmengine.registry import DefaultScope
from rivals.events import utils

from snnssl_mm.datasets import EventFolder, labelled_fraction, write_events
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.events.layouts import CIFAR10, GESTURES, LAYOUTS
from snnssl_mm.probing.digests import samples_digest

SIZE = dict(height=34, width=34)
LOAD = [dict(type="snnssl_mm.LoadEvents")]


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


@pytest.fixture
def own(tmp_path):
    """Five recordings in two classes, in three formats."""
    names = ("a/0.bin", "a/1.npz", "a/2.raw", "b/0.bin", "b/deep/1.bin")
    return tmp_path, write_recordings(tmp_path, names)


def loaded(dataset):
    return [dataset[index]["recording"].events for index in range(len(dataset))]


def labels(dataset):
    return dataset.get_gt_labels().tolist()


def test_classes_are_folders_and_all_formats_are_read(own):
    folder, made = own
    dataset = EventFolder(folder, read_args=SIZE, pipeline=LOAD)
    assert labels(dataset) == [0, 0, 0, 1, 1]
    assert dataset.metainfo["classes"] == ("a", "b")
    for found, expected in zip(loaded(dataset), made.values(), strict=True):
        assert np.array_equal(found, expected.events)
    first = EventFolder(folder, read_args=SIZE)[0]
    assert first["recording_path"] == str(folder / "a/0.bin")
    assert first["sample_idx"] == 0


def test_classes_come_from_a_file_or_not_at_all(own):
    folder, _ = own
    (folder / "classes.txt").write_text("x\ny\nx\ny\nx\n")
    dataset = EventFolder(folder, label_file="classes.txt")
    assert labels(dataset) == [0, 1, 0, 1, 0]
    (folder / "some.txt").write_text("b/0.bin 1\na/1.npz 0\n")
    dataset = EventFolder(folder, ann_file="some.txt", read_args=SIZE, pipeline=LOAD)
    assert labels(dataset) == [1, 0]
    assert len(loaded(dataset)) == 2
    unlabelled = EventFolder(folder, with_label=False)
    assert len(unlabelled) == 5
    assert "gt_label" not in unlabelled[0]


def test_fractions_of_labels_are_drawn_from_recordings(own):
    folder, _ = own
    settings = dict(type="snnssl_mm.EventFolder", data_root=str(folder))
    assert labels(labelled_fraction(settings, 0.5)) == [0, 0, 1]


def test_damaged_recordings_stop_or_are_left_out(own):
    folder, _ = own
    (folder / "a" / "empty.bin").touch()
    (folder / "b" / "other.npz").write_bytes(b"no archive")
    (folder / "b" / "cut.bin").write_bytes(bytes(7))
    with pytest.raises(ValueError, match=r"(?s)2 of 8 .*empty.bin.*other.npz"):
        EventFolder(folder)
    with pytest.raises(ValueError, match=r"(?s)3 of 8 .*empty.bin.*cut.bin.*other.npz"):
        EventFolder(folder, verify="decode", read_args=SIZE)
    settings = dict(on_error="skip", read_args=SIZE, pipeline=LOAD)
    assert len(EventFolder(folder, verify="decode", **settings)) == 5
    dataset = EventFolder(folder, **settings)
    assert len(dataset) == 6
    assert len(loaded(dataset)) == 6  # another one instead of the damaged one
    assert dataset.num_skipped >= 1  # the drawn one can be the damaged one again
    testing = EventFolder(folder, test_mode=True, **settings)
    with pytest.raises(DataError, match=r"cut\.bin"):
        loaded(testing)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(layout="mnist"),
        dict(layout="n-mnist"),
        dict(layout="n-mnist", split="val"),
        dict(split="train"),
        dict(read_args=dict(heigth=3)),
        dict(verify="all"),
        dict(on_error="ignore"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong, own):
    with pytest.raises(ValueError):  # noqa: PT011
        EventFolder(own[0], **wrong)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_dataset_says_where_it_is(layout, own):
    with pytest.raises(FileNotFoundError, match=LAYOUTS[layout].page):
        EventFolder(own[0], layout=layout, split="train")


def test_missing_or_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        EventFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        EventFolder(tmp_path, with_label=False)


PUBLISHED = {  # layout: published files, spikingjelly's files, format, classes
    "n-mnist": ("Train/{c}/{i}.bin", "events_np/train/{c}/{i}.npz", "atis", "0379"),
    "n-caltech101": (
        "Caltech101/{c}/image_{i}.bin",
        "events_np/{c}/image_{i}.npz",
        "atis",
        ("BACKGROUND_Google", "ant"),
    ),
    "cifar10-dvs": ("{c}/{i}.aedat", "events_np/{c}/{i}.npz", "aedat2", CIFAR10),
    "n-cars": ("train/{c}/{i}.dat", None, "dat", ("background", "cars")),
}


@pytest.mark.parametrize("layout", PUBLISHED)
@pytest.mark.parametrize("prepared", [False, True], ids=["published", "spikingjelly"])
def test_published_layouts(layout, prepared, tmp_path):
    published, theirs, format, classes = PUBLISHED[layout]
    pattern = theirs if prepared else published
    if pattern is None:
        return
    known = LAYOUTS[layout]
    names = [pattern.format(c=c, i=i) for c in classes for i in range(2)]
    sides = dict(height=known.height, width=known.width, number=5)
    made = write_recordings(tmp_path, names, "npz" if prepared else format, **sides)
    dataset = EventFolder(tmp_path, layout=layout, split="train", pipeline=LOAD)
    all_classes = known.folders or classes
    assert dataset.metainfo["classes"] == all_classes
    assert labels(dataset) == [
        all_classes.index(c) for c in sorted(classes) for _ in range(2)
    ]
    expected = [made[name].events.copy() for name in sorted(names)]
    for events in expected:
        if layout == "cifar10-dvs" and not prepared:
            events["x"], events["y"] = events["y"].copy(), events["x"].copy()
    found = [dataset[index]["recording"] for index in range(len(dataset))]
    for recording, events in zip(found, expected, strict=True):
        assert np.array_equal(recording.events, events)
        assert (recording.height, recording.width) == (known.height, known.width)


def test_parts_of_a_dataset_without_any_are_those_of_spikingjelly(tmp_path):
    for number, name in zip((11, 20), ("cat", "dog"), strict=True):
        names = [f"{name}/cifar10_{name}_{index}.aedat" for index in range(number)]
        write_recordings(tmp_path, names, number=1, height=128, width=128)
    whole = EventFolder(tmp_path, layout="cifar10-dvs")
    theirs = torch.utils.data.TensorDataset(
        torch.arange(31), torch.tensor([index > 10 for index in range(31)]).long()
    )
    parts = utils.split_to_train_test_set(0.9, theirs, 2)
    for split, part in zip(("train", "test"), parts, strict=True):
        dataset = EventFolder(tmp_path, layout="cifar10-dvs", split=split)
        paths = [dataset[index]["recording_path"] for index in range(len(dataset))]
        assert paths == [whole[index]["recording_path"] for index in part.indices]
        assert set(labels(dataset)) == {CIFAR10.index("cat"), CIFAR10.index("dog")}
        plain = EventFolder(
            tmp_path, layout="cifar10-dvs", split=split, with_label=False
        )
        assert [plain[i]["recording_path"] for i in range(len(plain))] == paths


@pytest.mark.parametrize("with_label", [True, False])
def test_a_folder_beside_the_classes_is_refused(with_label, tmp_path):
    names = ["cat/0.aedat", "events_np/cat/0.aedat"]
    write_recordings(tmp_path, names, number=1, height=128, width=128)
    with pytest.raises(ValueError, match="events_np"):
        EventFolder(tmp_path, layout="cifar10-dvs", with_label=with_label)


@pytest.fixture
def gestures(tmp_path):
    """A recording of a second for training and one for tests, with two gestures."""
    rows = "class,startTime_usec,endTime_usec\n3,100000,300000\n11,300000,900000\n"
    for name, part in (("user01_led", "train"), ("user24_lab", "test")):
        recording = made_recording(500, 128, 128, start=0, end=1_000_000)
        write_events(tmp_path / "DvsGesture" / f"{name}.aedat", recording, "aedat3")
        (tmp_path / "DvsGesture" / f"{name}_labels.csv").write_text(rows)
        file = tmp_path / "DvsGesture" / f"trials_to_{part}.txt"
        file.write_text(f"{name}.aedat\n\n")
    return tmp_path


@pytest.mark.parametrize("inside", ["", "DvsGesture"])
@pytest.mark.parametrize("cached", [False, True])
def test_gestures_are_cut_by_their_table(inside, cached, gestures):
    settings = dict(cache_dir=str(gestures / "cache")) if cached else {}
    dataset = EventFolder(
        gestures / inside,
        layout="dvs128-gesture",
        split="train",
        verify="decode",
        pipeline=[dict(type="snnssl_mm.LoadEvents", **settings)],
    )
    assert dataset.metainfo["classes"] == GESTURES
    assert labels(dataset) == [2, 10]
    events = made_recording(500, 128, 128, start=0, end=1_000_000).events
    for _ in range(2):
        for found, (start, end) in zip(
            loaded(dataset), ((100_000, 300_000), (300_000, 900_000)), strict=True
        ):
            inside_time = (events["t"] >= start) & (events["t"] < end)
            assert np.array_equal(found, events[inside_time])


def test_gestures_of_spikingjelly_keep_their_numbers(tmp_path):
    names = [f"events_np/test/{label}/user24_lab_0.npz" for label in range(11)]
    write_recordings(tmp_path, names, number=2, height=128, width=128)
    dataset = EventFolder(tmp_path, layout="dvs128-gesture", split="test")
    assert dataset.metainfo["classes"] == GESTURES
    for sample in (dataset[index] for index in range(11)):
        assert f"/{sample['gt_label']}/" in sample["recording_path"]


@pytest.mark.parametrize(
    "row",
    ["", "3,5", "0,1,2", "12,1,2", "3,9,9", "3,a,9", "3,2000000,3000000"],
)
def test_damaged_tables_of_gestures_are_refused(row, gestures):
    table = gestures / "DvsGesture" / "user01_led_labels.csv"
    table.write_text(f"class,start,end\n{row}\n1,1,9000\n")
    with pytest.raises(ValueError, match="user01_led"):
        EventFolder(gestures, layout="dvs128-gesture", split="train", verify="decode")


@pytest.mark.parametrize("name", ["user01_led.aedat", "user01_led_labels.csv"])
def test_missing_files_of_gestures_are_named(name, gestures):
    (gestures / "DvsGesture" / name).unlink()
    with pytest.raises(DataError, match=name):
        EventFolder(gestures, layout="dvs128-gesture", split="train")


def test_cached_features_know_recordings_and_their_parts(gestures, own):
    def digest(folder, **settings):
        return samples_digest(EventFolder(folder, **settings))

    folder, _ = own
    found = [digest(folder), digest(folder, read_args=SIZE)]
    write_events(folder / "a" / "0.bin", made_recording(50))
    found.append(digest(folder))
    trials = dict(layout="dvs128-gesture", split="train")
    found.append(digest(gestures, **trials))
    table = gestures / "DvsGesture" / "user01_led_labels.csv"
    table.write_text(table.read_text().replace("900000", "800000"))
    found.append(digest(gestures, **trials))
    assert len(set(found)) == 5
    samples = [{"recording": made_recording(seed=seed)} for seed in (0, 0, 1)]
    first, same, other = (samples_digest(Held([sample])) for sample in samples)
    assert first == same != other


class Held(list):
    """A dataset in memory."""

    def get_data_info(self, index):
        return self[index]
