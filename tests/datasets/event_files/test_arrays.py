"""NumPy and HDF5 files as other programs write them."""

import h5py
import numpy as np
import pytest
from made_recordings import made_recording

from snnssl_mm.datasets import read_events
from snnssl_mm.datasets.data_error import DataError

SIZE = dict(height=34, width=34)


@pytest.fixture
def recording():
    return made_recording(50)


def test_npz_as_spikingjelly_writes_it(recording, tmp_path):
    columns = {name: recording.events[name].astype(np.int64) for name in "txyp"}
    for save, name in ((np.savez, "plain"), (np.savez_compressed, "small")):
        save(tmp_path / f"{name}.npz", **columns)
        found = read_events(tmp_path / f"{name}.npz", **SIZE)
        assert np.array_equal(found.events, recording.events)


def test_npy_of_another_type(recording, tmp_path):
    other = np.dtype([("t", "<u4"), ("x", "<i4"), ("polarity", "<i2"), ("y", "u1")])
    values = np.empty(50, other)
    for name, theirs in zip("txpy", other.names, strict=True):
        values[theirs] = recording.events[name]
    values["polarity"] = 2 * values["polarity"] - 1
    np.save(tmp_path / "other.npy", values)
    found = read_events(tmp_path / "other.npy", **SIZE)
    assert np.array_equal(found.events, recording.events)


def test_npy_of_our_type_is_mapped_into_memory(recording, tmp_path):
    np.save(tmp_path / "ours.npy", recording.events)
    found = read_events(tmp_path / "ours.npy", **SIZE)
    assert not found.events.flags.writeable
    assert np.array_equal(found.events, recording.events)


@pytest.mark.parametrize("group", ["", "events/"], ids=["root", "events"])
@pytest.mark.parametrize("names", ["xytp", ("xs", "ys", "timestamps", "polarities")])
def test_hdf5_of_four_arrays(group, names, recording, tmp_path):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        for ours, theirs in zip("xytp", names, strict=True):
            file[f"{group}{theirs}"] = recording.events[ours]
        file.attrs.update(SIZE)
    found = read_events(tmp_path / "some.h5")
    assert np.array_equal(found.events, recording.events)
    assert (found.height, found.width) == (34, 34)


def test_hdf5_with_an_offset_as_dsec(recording, tmp_path):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        for name in "xytp":
            file[f"events/{name}"] = recording.events[name]
        file["t_offset"] = 10**12
    found = read_events(tmp_path / "some.h5", **SIZE)
    assert np.array_equal(found.events["t"], recording.events["t"] + 10**12)


def test_hdf5_of_seconds(recording, tmp_path):
    with h5py.File(tmp_path / "some.hdf5", "w") as file:
        for name in "xyp":
            file[f"events/{name}s"] = recording.events[name]
        file["events/ts"] = 1.5e9 + recording.events["t"] / 1e6
    found = read_events(tmp_path / "some.hdf5", **SIZE)
    assert np.array_equal(found.events["t"] - 1.5e15, recording.events["t"])


def test_hdf5_of_floating_point_microseconds_is_refused(recording, tmp_path):
    with h5py.File(tmp_path / "some.hdf5", "w") as file:
        for name in "xyp":
            file[f"events/{name}s"] = recording.events[name]
        file["events/ts"] = recording.events["t"].astype(np.float64)
    with pytest.raises(ValueError, match="integers"):
        read_events(tmp_path / "some.hdf5", **SIZE)


@pytest.mark.parametrize("name", ["events", "CD/events"])
def test_hdf5_of_structs_as_prophesee(name, recording, tmp_path):
    fields = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    values = np.empty(50, fields)
    for field in "xytp":
        values[field] = recording.events[field]
    with h5py.File(tmp_path / "some.hdf5", "w") as file:
        file[name] = values
        file.attrs["geometry"] = "34x34"
    found = read_events(tmp_path / "some.hdf5")
    assert np.array_equal(found.events, recording.events)


def test_files_of_other_things_are_refused(recording, tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((34, 34)))
    np.save(tmp_path / "fields.npy", np.zeros(3, [("x", "<u2"), ("y", "<u2")]))
    np.save(tmp_path / "objects.npy", np.array([{}, []], object), allow_pickle=True)
    np.savez(tmp_path / "frames.npz", frames=np.zeros((4, 2, 34, 34)))
    seconds = {name: recording.events[name] / 1e6 for name in "xytp"}
    np.savez(tmp_path / "seconds.npz", **seconds)
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["frames"] = np.zeros((4, 2, 34, 34))
    with h5py.File(tmp_path / "events.h5", "w") as file:
        file["events"] = np.zeros((4, 4))
    (tmp_path / "cut.h5").write_bytes((tmp_path / "frames.h5").read_bytes()[:700])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for file in files:
        with pytest.raises(DataError):
            read_events(file, **SIZE)
