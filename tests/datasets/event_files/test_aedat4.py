"""AEDAT 4 files made by the flatbuffers package."""

import struct

import numpy as np
import pytest
from made_recordings import made_recording

from snnssl_mm.datasets import read_events
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files import aedat4

flatbuffers = pytest.importorskip("flatbuffers")

STREAM = """<node name="{number}" path="/mainloop/Recorder/outInfo/{number}/">
<attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">{kind}</attr>
<node name="info" path="/mainloop/Recorder/outInfo/{number}/info/">
<attr key="sizeX" type="int">34</attr><attr key="sizeY" type="int">30</attr>
</node></node>"""


def description(*kinds):
    streams = "".join(STREAM.format(number=n, kind=k) for n, k in enumerate(kinds))
    return (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
        f"{streams}</node></dv>"
    )


def header(text, compression=0, table=-1):
    builder = flatbuffers.Builder()
    info = builder.CreateString(text)
    builder.StartObject(3)
    builder.PrependInt32Slot(0, compression, 0)
    builder.PrependInt64Slot(1, table, -1)
    builder.PrependUOffsetTRelativeSlot(2, info, 0)
    builder.FinishSizePrefixed(builder.EndObject(), b"IOHE")
    return bytes(builder.Output())


def event_packet(events):
    builder = flatbuffers.Builder()
    builder.StartVector(16, len(events), 8)
    for event in events[::-1]:
        builder.Prep(8, 16)
        builder.Pad(3)
        builder.PrependBool(bool(event["p"]))
        builder.PrependInt16(int(event["y"]))
        builder.PrependInt16(int(event["x"]))
        builder.PrependInt64(int(event["t"]))
    vector = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.FinishSizePrefixed(builder.EndObject(), b"EVTS")
    return bytes(builder.Output())


def made_file(file, recording, compress=bytes, compression=0, kinds=("FRME", "EVTS")):
    bodies = [compress(event_packet(p)) for p in np.array_split(recording.events, 3)]
    bodies.insert(1, b"a frame")
    streams = [1, 0, 1, 1]
    packets = b"".join(
        struct.pack("<ii", stream, len(body)) + body
        for stream, body in zip(streams, bodies, strict=True)
    )
    text = description(*kinds)
    start = len(aedat4.MAGIC) + len(header(text, compression, 1))
    head = header(text, compression, start + len(packets))
    file.write_bytes(aedat4.MAGIC + head + packets + b"table")
    return start


def test_events_of_all_packets_are_read(tmp_path):
    recording = made_recording(100, 30, 34, start=1.6e15, end=1.6e15 + 1e6)
    made_file(tmp_path / "some.aedat4", recording)
    found = read_events(tmp_path / "some.aedat4")
    assert np.array_equal(found.events, recording.events)
    assert (found.height, found.width, found.repairs) == (30, 34, {})


@pytest.mark.parametrize("clean", [False, True])
def test_a_cut_file_gives_an_error_or_whole_packets(clean, tmp_path):
    recording = made_recording(9, 30, 34)
    file = tmp_path / "some.aedat4"
    start = made_file(file, recording)
    content = file.read_bytes()
    numbers = set()
    end = len(content) - len(b"table")
    for length in (*range(0, start, 17), *range(start, end)):
        file.write_bytes(content[:length])
        try:
            found = read_events(file, clean=clean)
        except DataError:
            continue
        assert length > start
        assert found.repairs["missing_bytes"] == end - length
        number = len(found.events)
        assert np.array_equal(found.events, recording.events[:number])
        numbers.add(number)
    assert numbers == ({3, 6} if clean else set())


@pytest.mark.parametrize("seed", range(60))
def test_changed_bytes_give_an_error_or_a_valid_recording(seed, tmp_path):
    file = tmp_path / "some.aedat4"
    made_file(file, made_recording(9, 30, 34))
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(seed)
    places = rng.integers(0, len(content), 3)
    for place in places:
        content[place] = rng.integers(0, 256)
    file.write_bytes(content)
    try:
        found = read_events(file, "aedat4", clean=True)
    except DataError:
        return
    assert found.events["x"].max() < found.width
    assert (np.diff(found.events["t"]) >= 0).all()


@pytest.mark.parametrize(
    ("module", "package", "numbers"),
    [("lz4.frame", "lz4", (1, 2)), ("zstandard", "zstandard", (3, 4))],
    ids=["lz4", "zstd"],
)
def test_compressed_files(module, package, numbers, tmp_path, monkeypatch):
    recording = made_recording(30, 30, 34)
    file = tmp_path / "some.aedat4"
    made_file(file, recording, compression=numbers[0])
    with monkeypatch.context() as context:
        context.setitem(__import__("sys").modules, module, None)
        with pytest.raises(DataError, match=f"pip install {package}"):
            read_events(file)
    library = pytest.importorskip(module)
    with pytest.raises(DataError):  # says compressed, but is not
        read_events(file)
    for number in numbers:
        made_file(file, recording, library.compress, number)
        assert np.array_equal(read_events(file).events, recording.events)


@pytest.mark.parametrize("kinds", [("FRME",), ("EVTS", "EVTS")], ids=["none", "two"])
def test_exactly_one_stream_of_events_is_needed(kinds, tmp_path):
    file = tmp_path / "some.aedat4"
    made_file(file, made_recording(9, 30, 34), kinds=kinds)
    with pytest.raises(DataError):
        read_events(file)


def test_an_unknown_compression_is_refused(tmp_path):
    file = tmp_path / "some.aedat4"
    made_file(file, made_recording(9, 30, 34), compression=7)
    with pytest.raises(DataError):
        read_events(file)
