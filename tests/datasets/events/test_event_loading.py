"""LoadEvents and the cache of decoded recordings."""

import os

import numpy as np
import pytest
from made_recordings import made_recording

from snnssl_mm.datasets import LoadEvents, write_events
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.events import cache as cache_module
from snnssl_mm.datasets.events.cache import RecordingCache
from snnssl_mm.datasets.events.loading import read_part


@pytest.fixture
def file(tmp_path):
    write_events(tmp_path / "a.b.bin", made_recording())
    return tmp_path / "a.b.bin"


@pytest.fixture
def sample(file):
    return dict(recording_path=str(file), read_args=dict(height=34, width=34))


def test_settings_of_the_dataset_are_taken_unless_overridden(sample):
    found = LoadEvents()(dict(sample))["recording"]
    assert np.array_equal(found.events, made_recording().events)
    assert LoadEvents(height=40)(dict(sample))["recording"].height == 40
    with pytest.raises(DataError):
        LoadEvents(format="npz")(dict(sample))
    sample["read_args"] = {}
    with pytest.raises(DataError):
        LoadEvents()(dict(sample))
    assert LoadEvents(height=34, width=34)(dict(sample))["recording"].width == 34


def test_a_recording_in_memory_remains():
    recording = made_recording()
    assert LoadEvents()({"recording": recording})["recording"] is recording


def test_part_of_a_recording(file):
    events = made_recording().events
    size = dict(height=34, width=34)
    first, last = int(events["t"][3]), int(events["t"][9])
    found = read_part(file, (first, last), **size)
    assert np.array_equal(found.events, events[3:9])
    with pytest.raises(DataError):
        read_part(file, (10**6, 2 * 10**6), **size)


def test_cached_recordings_are_equal_and_mapped(sample, tmp_path, monkeypatch):
    load = LoadEvents(clean=True, cache_dir=str(tmp_path / "cache"))
    first = load(dict(sample))["recording"]
    monkeypatch.setattr("snnssl_mm.datasets.events.loading.read_events", None)
    second = load(dict(sample))["recording"]
    for found in (first, second):
        assert np.array_equal(found.events, made_recording().events)
        assert (found.height, found.width) == (34, 34)
        assert not found.events.flags.writeable


def test_cached_recordings_keep_their_repairs(file, sample, tmp_path):
    file.write_bytes(file.read_bytes() + b"\0")
    load = LoadEvents(clean=True, cache_dir=str(tmp_path / "cache"))
    for _ in range(2):
        found = load(dict(sample))["recording"]
        assert found.repairs == {"undecoded_bytes": 1}


def test_files_and_settings_have_their_own_entries(file, sample, tmp_path, monkeypatch):
    folder = tmp_path / "cache"

    def entries(**changed):
        LoadEvents(cache_dir=str(folder))({**sample, **changed})
        assert not list(folder.glob(".*"))
        return len(list(folder.iterdir()))

    assert [entries(), entries()] == [2, 2]
    assert entries(time_range=(0, 200_000)) == 4
    assert entries(time_range=(0, 100_000)) == 6
    assert entries(read_args=dict(height=34, width=40)) == 8
    os.utime(file, ns=(1, 1))
    assert entries() == 10
    other = file.with_name("a.c.bin")
    write_events(other, made_recording(seed=1))
    assert entries(recording_path=str(other)) == 12
    monkeypatch.setattr(cache_module, "DECODING", cache_module.DECODING + 1)
    assert entries() == 14


@pytest.mark.parametrize("name", ["open_atomically", "write_atomically"])
def test_an_interrupted_write_leaves_no_entry(name, sample, tmp_path, monkeypatch):
    load = LoadEvents(cache_dir=str(tmp_path / "cache"))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(cache_module, name, killed)
        with pytest.raises(KeyboardInterrupt):
            load(dict(sample))
    assert not list((tmp_path / "cache").glob("*.json"))
    found = load(dict(sample))["recording"]
    assert np.array_equal(found.events, made_recording().events)


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_a_damaged_entry_is_replaced(suffix, content, sample, tmp_path):
    load = LoadEvents(cache_dir=str(tmp_path / "cache"))
    load(dict(sample))
    (entry,) = (tmp_path / "cache").glob(f"*{suffix}")
    if content is None:
        entry.unlink()
    else:
        entry.write_bytes(content)
    found = load(dict(sample))["recording"]
    assert np.array_equal(found.events, made_recording().events)
    assert entry.stat().st_size > 2


def test_missing_or_damaged_files_are_not_cached(file, sample, tmp_path):
    load = LoadEvents(cache_dir=str(tmp_path / "cache"))
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(DataError):
        load(dict(sample))
    file.unlink()
    with pytest.raises(DataError):
        load(dict(sample))
    assert not (tmp_path / "cache").exists()


def test_entries_do_not_depend_on_the_working_directory(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {
        RecordingCache.name(path, {}) for path in (file, file.relative_to(tmp_path))
    }
    assert len(names) == 1
