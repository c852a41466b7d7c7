"""Every format reads what it wrote, and damage never passes for events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_recordings import made_recording

from snnssl_mm.datasets import EVENT, Recording, read_events, write_events
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files.files import FORMATS, find_format

WRITTEN = {  # largest height, width and time
    "aedat2": (128, 128, 2**31),
    "aedat3": (128, 128, 2**62),
    "evt2": (2048, 2048, 2**34),
    "evt3": (2048, 2048, 2**24),
    "dat": (720, 1280, 2**32),
    "atis": (240, 256, 2**23),
    "npz": (60000, 60000, 2**62),
    "npy": (60000, 60000, 2**62),
}
SIZELESS = ("atis", "npy")
CUT_ANYWHERE = ("aedat2", "evt2", "evt3", "dat", "atis")
"""Formats without a length: what is before a cut between events is a valid file."""


def written(folder, name, recording):
    file = folder / f"made-{name}{FORMATS[name].suffixes[0]}"
    write_events(file, recording, name)
    return file


def size_of(name, recording):
    sizeless = name in SIZELESS
    return dict(height=recording.height, width=recording.width) if sizeless else {}


def largest(name):
    height, width, end = WRITTEN[name]
    return made_recording(300, height, width, start=0, end=end)


def equal(recording, other):
    assert recording.events.dtype == EVENT
    assert (recording.height, recording.width) == (other.height, other.width)
    assert np.array_equal(recording.events, other.events)


def test_all_formats_with_a_writer_are_tested():
    assert list(WRITTEN) == [name for name, kind in FORMATS.items() if kind.write]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_holds_the_largest_sensor_and_time(name, tmp_path):
    recording = largest(name)
    file = written(tmp_path, name, recording)
    assert find_format(file) in (name, "evt2")
    equal(read_events(file, **size_of(name, recording)), recording)


@pytest.mark.parametrize("name", WRITTEN)
@given(data=st.data())
def test_a_format_reads_what_it_wrote(name, tmp_path_factory, data):
    height, width, end = WRITTEN[name]
    event = st.tuples(
        st.integers(0, width - 1),
        st.integers(0, height - 1),
        st.integers(0, end - 1),
        st.integers(0, 1),
    )
    rows = data.draw(st.lists(event, min_size=1, max_size=30))
    events = np.array(sorted(rows, key=lambda row: row[2]), EVENT)
    recording = Recording(events, height, width)
    file = written(tmp_path_factory.mktemp("made"), name, recording)
    equal(read_events(file, **size_of(name, recording)), recording)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_recording_that_does_not_fit_is_not_written(name, tmp_path):
    height, width, end = WRITTEN[name]
    if name in ("npz", "npy"):
        return
    file = tmp_path / "new"
    big = made_recording(3, height + 40000, width)
    late = made_recording(3, height, width, start=end, end=end + 9)
    for recording in (big, late):
        with pytest.raises(DataError):
            write_events(file, recording, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WRITTEN)
def test_a_cut_file_gives_an_error_or_the_events_before_the_cut(name, tmp_path):
    recording = made_recording(9, 128, 128, start=4000, end=200_000)
    file = written(tmp_path, name, recording)
    content = file.read_bytes()
    known = size_of(name, recording)
    whole = 0
    for length in range(0, len(content), 5 if name.startswith("np") else 1):
        file.write_bytes(content[:length])
        for clean in (False, True):
            try:
                found = read_events(file, clean=clean, **known)
            except DataError:
                continue
            number = len(found.events)
            assert np.array_equal(found.events, recording.events[:number])
            assert (found.height, found.width) == (128, 128)
            assert bool(found.repairs) <= clean
            whole += not clean
    assert bool(whole) == (name in CUT_ANYWHERE)


@pytest.mark.parametrize("name", WRITTEN)
@given(data=st.data())
def test_changed_bytes_give_an_error_or_a_valid_recording(name, tmp_path_factory, data):
    recording = made_recording(20, 128, 128)
    file = written(tmp_path_factory.mktemp("made"), name, recording)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    for clean in (False, True):
        try:
            found = read_events(file, clean=clean, **size_of(name, recording))
        except DataError:
            continue
        events = found.events
        assert events["x"].max() < found.width
        assert events["y"].max() < found.height
        assert events["p"].max() <= 1
        assert (np.diff(events["t"]) >= 0).all()


def test_damage_is_an_error_or_repaired_with_counts(tmp_path):
    recording = made_recording(100)
    events = recording.events.copy()
    events["t"][[10, 50]] = 10**6  # each is followed by an earlier one
    events["x"][3], events["y"][7] = 34, 200
    file = tmp_path / "damaged.bin"
    write_events(file, Recording(np.array(events), 240, 256))
    file.write_bytes(file.read_bytes() + b"\0\0")
    with pytest.raises(DataError):
        read_events(file, height=34, width=34)
    found = read_events(file, height=34, width=34, clean=True)
    assert found.repairs == {"undecoded_bytes": 2, "outside": 2, "unsorted": 2}
    kept = np.delete(events, [3, 7])
    assert np.array_equal(found.events, kept[np.argsort(kept["t"], kind="stable")])


def test_an_intact_recording_needs_no_repair(tmp_path):
    file = written(tmp_path, "npz", made_recording())
    assert read_events(file, clean=True).repairs == {}


def test_size_must_be_known_and_agree(tmp_path):
    recording = made_recording()
    sizeless = written(tmp_path, "atis", recording)
    for given_size in ({}, {"height": 34}, {"height": 34, "width": 0}):
        with pytest.raises(DataError):
            read_events(sizeless, **given_size)
    sized = written(tmp_path, "npz", recording)
    equal(read_events(sized, height=34, width=34), recording)
    with pytest.raises(DataError):
        read_events(sized, height=35)


def test_transposing_exchanges_the_axes(tmp_path):
    recording = made_recording(height=20, width=30)
    file = written(tmp_path, "npz", recording)
    found = read_events(file, transpose=True)
    assert (found.height, found.width) == (30, 20)
    assert np.array_equal(found.events["x"], recording.events["y"])
    assert np.array_equal(found.events["y"], recording.events["x"])
    assert np.array_equal(found.events[["t", "p"]], recording.events[["t", "p"]])


@pytest.mark.parametrize("name", FORMATS)
def test_files_that_are_no_recordings_are_refused(name, tmp_path):
    file = tmp_path / f"file{FORMATS[name].suffixes[0]}"
    with pytest.raises(DataError):
        read_events(file, height=34, width=34)
    file.touch()
    for clean in (False, True):
        with pytest.raises(DataError):
            read_events(file, height=34, width=34, clean=clean)
    if FORMATS[name].magic:
        file.write_bytes(b"something else " * 9)
        for format in (None, name):
            with pytest.raises(DataError):
                read_events(file, format, 34, 34)


def test_unknown_formats_are_refused(tmp_path):
    recording = made_recording()
    file = tmp_path / "recording.xyz"
    file.write_bytes(written(tmp_path, "npz", recording).read_bytes())
    with pytest.raises(DataError):
        read_events(file)
    equal(read_events(file, "npz"), recording)
    with pytest.raises(DataError):
        read_events(file, "xyz")
    for name in ("new.xyz", "new.h5", "new.aedat4"):
        with pytest.raises(DataError):
            write_events(tmp_path / name, recording)


def test_duration_counts_both_ends():
    events = np.zeros(3, EVENT)
    events["t"] = 5, 7, 14
    assert Recording(events, 1, 1).duration == 10
    assert Recording(events[:1], 1, 1).duration == 1
    assert Recording(events[:0], 1, 1).duration == 0
    assert Recording(events, 2, 3).replace_events(events[1:]).duration == 8
