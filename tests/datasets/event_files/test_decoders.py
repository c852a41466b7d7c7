"""Decoders agree with spikingjelly, and with bytes made by hand."""

import struct

import numpy as np
import pytest
from made_recordings import made_recording
from rivals.events import cifar10_dvs, nav_gesture, utils

from snnssl_mm.datasets import read_events, write_events
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files.atis import read_atis
from snnssl_mm.datasets.event_files.decoding import header_lines, pack_events, unwrap

rng = np.random.default_rng(0)


def same(events, theirs):
    for name in "xytp":
        assert np.array_equal(events[name], theirs[name]), name


def test_atis_as_spikingjelly(tmp_path):
    file = tmp_path / "some.bin"
    content = rng.integers(0, 256, (500, 5), np.uint8)
    content[content[:, 1] == 240, 1] = 0
    content.tofile(file)
    same(read_atis(file).events, utils.load_ATIS_bin(file))


def test_atis_overflows_of_the_clock_are_no_events(tmp_path):
    file = tmp_path / "some.bin"
    rows = [[3, 4, 0x80, 0x1F, 0xFF], [0, 240, 0, 0, 0], [5, 6, 0, 0, 2]]
    np.array(rows, np.uint8).tofile(file)
    found = read_events(file, height=34, width=34).events.tolist()
    assert found == [(3, 4, 8191, 1), (5, 6, 8194, 0)]


def aedat3_packet(kind, size, overflows, number, content, room=None):
    room = number if room is None else room
    header = struct.pack("<hhiiiiii", kind, 1, size, 4, overflows, room, number, number)
    return header + content


def test_aedat3_as_spikingjelly(tmp_path):
    recording = made_recording(9000, 128, 128, start=2**31 - 1000, end=2**31 + 10**6)
    file = tmp_path / "gesture.aedat"
    write_events(file, recording, "aedat3")
    content = file.read_bytes()
    frame = aedat3_packet(2, 100, 0, 3, bytes(300))
    start = content.index(b"#!END-HEADER\r\n") + 14
    file.write_bytes(content[:start] + frame + content[start:] + frame)
    found = read_events(file)
    same(found.events, utils.load_aedat_v3(file))
    assert np.array_equal(found.events, recording.events)


def test_aedat3_invalid_events_are_left_out(tmp_path):
    words = [(1 << 17) | (2 << 2) | 2, 5, (3 << 17) | (4 << 2) | 1, 6]
    packet = aedat3_packet(1, 8, 0, 2, struct.pack("<4I", *words) + bytes(8), room=3)
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 0: DAVIS346\r\n#!END-HEADER\r\n"
    file = tmp_path / "some.aedat"
    file.write_bytes(head + packet)
    found = read_events(file)
    assert found.events.tolist() == [(3, 4, 6, 0)]
    assert (found.height, found.width) == (260, 346)
    assert found.repairs == {"invalid": 1}


@pytest.mark.parametrize(
    "head",
    [b"#!AER-DAT3.0\r\n", b"#!AER-DAT3.1\r\n#Format: Compressed\r\n#!END-HEADER\r\n"],
    ids=["version", "compressed"],
)
def test_aedat3_other_kinds_are_refused(head, tmp_path):
    file = tmp_path / "some.aedat"
    file.write_bytes(head + aedat3_packet(1, 8, 0, 1, bytes(8)))
    with pytest.raises(DataError):
        read_events(file, height=128, width=128)


def test_aedat2_as_spikingjelly(tmp_path):
    recording = made_recording(3000, 128, 128)
    file = tmp_path / "cifar10_cat_0.aedat"
    write_events(file, recording)
    theirs = cifar10_dvs._load_origin_data(file)
    same(read_events(file, transpose=True).events, theirs)
    assert np.array_equal(read_events(file).events, recording.events)


def test_aedat2_of_a_davis(tmp_path):
    pixel = (100 << 22) | (300 << 12) | (1 << 11)
    words = [pixel, 7, pixel | 1 << 31, 8, pixel | 1 << 10, 9, pixel & ~(1 << 11), 10]
    head = "#!AER-DAT2.0\r\n# Ort: Zürich\r\n# AEChip: eu.seebetter.Davis346B\r\n"
    file = tmp_path / "some.aedat"
    file.write_bytes(head.encode() + struct.pack(">8I", *words))
    found = read_events(file)
    assert found.events.tolist() == [(45, 159, 7, 1), (45, 159, 10, 0)]
    assert found.repairs == {"not_pixels": 2}
    file.write_bytes(b"#!AER-DAT2.0\r\n" + struct.pack(">8I", *words))
    with pytest.raises(DataError):
        read_events(file)


@pytest.mark.parametrize("head", [b"", b"% old\n\0\x08"], ids=["bare", "header"])
def test_dat_of_version_1_as_spikingjelly(head, tmp_path):
    words = rng.integers(0, 2**18, (400, 2), np.uint32)
    words[:, 0] = np.sort(words[:, 0])
    file = tmp_path / "some.dat"
    file.write_bytes(head + words.tobytes())
    times, places, polarities, _ = nav_gesture._readATIS_tddat(
        file, orig_at_zero=False, drop_negative_dt=False
    )
    found = read_events(file, height=256, width=512).events
    x, y = places.T
    same(found, {"t": times, "x": x, "y": y, "p": polarities})


def test_dat_of_version_2(tmp_path):
    file = tmp_path / "some.dat"
    head = (
        b"% Data file containing CD events\n% Version 2\n% Width 1280\n% Height 720\n"
    )
    words = [9, 1279 | 719 << 14 | 1 << 28, 2**32 - 1, 5, 3, 6 << 14]
    file.write_bytes(head + b"\x0c\x08" + struct.pack("<6I", *words))
    found = read_events(file)
    wrapped = 2**32 + 3
    expected = [(1279, 719, 9, 1), (5, 0, 2**32 - 1, 0), (0, 6, wrapped, 0)]
    assert found.events.tolist() == expected
    assert (found.height, found.width) == (720, 1280)
    for kind in (b"\x0e\x08", b"\x0c\x10"):  # triggers; 16 bytes
        file.write_bytes(head + kind + struct.pack("<6I", *words))
        with pytest.raises(DataError):
            read_events(file)


def test_a_clock_continues_after_its_overflow():
    times = np.array([5, 2**32 - 2, 1, 0, 2**32 - 1, 7], np.uint32)
    expected = [5, 2**32 - 2, 2**32 + 1, 2**32, 2**33 - 1, 2**33 + 7]
    assert unwrap(times).tolist() == expected


def test_a_header_ends_where_the_data_begin():
    def split(text, last=""):
        lines, start = header_lines(np.frombuffer(text, np.uint8), b"#", last)
        return lines, text[start:]

    assert split(b"# a\r\n#b\nc") == (["a", "b"], b"c")
    assert split(b"# a\n#\0\n") == (["a"], b"#\0\n")
    assert split(b"# a\n#\xff\n") == (["a"], b"#\xff\n")
    assert split(b"# a\n#b") == (["a"], b"#b")
    assert split(b"#a\n#end\n#b\n", "end") == (["a", "end"], b"#b\n")
    assert split(b"") == ([], b"")


def test_columns_of_any_numbers_become_events():
    whole = np.array([0.0, 3.0])
    found = pack_events(whole, whole.astype(np.int8), whole, np.array([-1, 1]))
    assert found.tolist() == [(0, 0, 0, 0), (3, 3, 3, 1)]
    far = np.array([-1, 2**32 + 5, 65536])
    zero = np.zeros(3, np.int64)
    assert pack_events(far, zero, zero, zero == 1)["x"].tolist() == [65535] * 3
    for wrong in (
        dict(x=zero + 0.5, y=zero, t=zero, p=zero),
        dict(x=zero * np.nan, y=zero, t=zero, p=zero),
        dict(x=zero, y=zero, t=zero + 1e300, p=zero),
        dict(x=zero[:2], y=zero, t=zero, p=zero),
        dict(x=zero, y=zero, t=zero, p=zero + 2),
        dict(x=zero, y=zero, t=zero, p=np.array([-1, 0, 1])),
        dict(x=np.array(["a"] * 3), y=zero, t=zero, p=zero),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            pack_events(**wrong)
