"""EVT 2.0 and 3.0, word by word."""

import numpy as np
import pytest

from snnssl_mm.datasets import read_events
from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.datasets.event_files import evt_kernels

HEAD3 = b"% date 2023-03-29 16:37:46\n% evt 3.0\n% format EVT3;height=720;width=1280\n"
HEAD2 = b"% evt 2.0\n% geometry 640x480\n% end\n"


def raw(folder, head, words, dtype):
    file = folder / "some.raw"
    file.write_bytes(head + np.array(words, dtype).tobytes())
    return file


def test_evt3_example(tmp_path):
    words = [
        *(0x2005, 0x8001),  # an event before the first time and row is left out
        *(0x0064, 0x6002, 0x2805),  # row 100, low time 2, ON at 5
        *(0x3014, 0x4805, 0x5081),  # OFF from 20: 20, 22, 31; from 32: 32, 39
        *(0xA000, 0xE123, 0x7123),  # trigger, others, continued: no events
        *(0x8001, 0x6003, 0x2006),  # the same high time: only low changes
        *(0x8002, 0x2007),  # a new high time begins with low 0
    ]
    found = read_events(raw(tmp_path, HEAD3 + b"% end\n", words, "<u2"))
    early = 4096 + 2
    expected = [
        *((5, 100, early, 1), (20, 100, early, 0), (22, 100, early, 0)),
        *((31, 100, early, 0), (32, 100, early, 0), (39, 100, early, 0)),
        *((6, 100, 4096 + 3, 0), (7, 100, 2 * 4096, 0)),
    ]
    assert found.events.tolist() == expected
    assert (found.height, found.width) == (720, 1280)
    assert found.repairs == {"untimed": 1}


def test_evt2_example(tmp_path):
    on, off, high = 1 << 28, 0, 8 << 28
    words = [
        *(on | 5, high | 3, on | 7 << 22 | 639 << 11 | 479),
        *(0xA0000000, 0xE0000000, 0xF0000000),
        *(high | 4, off | 63 << 22 | 1 << 11 | 2),
    ]
    found = read_events(raw(tmp_path, HEAD2, words, "<u4"))
    assert found.events.tolist() == [(639, 479, 199, 1), (1, 2, 319, 0)]
    assert (found.height, found.width) == (480, 640)
    assert found.repairs == {"untimed": 1}


def readable_evt3(words):
    """Decode as the specification says, one word after the other."""
    state = {}
    events = []
    loops = 0
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        ready = "high" in state and "row" in state
        if kind == 0x0:
            state["row"] = value % 2048
        elif kind == 0x2 and ready:
            time = (loops * 4096 + state["high"]) * 4096 + state.get("low", 0)
            events.append((value % 2048, state["row"], time, value // 2048))
        elif kind == 0x3:
            state["base"], state["polarity"] = value % 2048, value // 2048
        elif kind in (0x4, 0x5) and "base" in state:
            for bit in range(12 if kind == 4 else 8):
                if value >> bit & 1 and ready:
                    time = (loops * 4096 + state["high"]) * 4096 + state.get("low", 0)
                    place = state["base"] + bit
                    events.append((place, state["row"], time, state["polarity"]))
            state["base"] += 12 if kind == 4 else 8
        elif kind == 0x6:
            state["low"] = value
        elif kind == 0x8:
            loops += state.get("high", 0) - value >= 2048
            if state.get("high") != value:
                state["low"] = 0
            state["high"] = value
    return events


@pytest.mark.parametrize("seed", range(4))
def test_evt3_of_random_words(seed):
    words = np.random.default_rng(seed).integers(0, 2**16, 4000).astype(np.uint16)
    size = evt_kernels.count_evt3(words)
    columns = [np.empty(size, np.int64) for _ in "xytp"]
    number, untimed = evt_kernels.decode_evt3(words, *columns)
    found = np.stack(columns, 1)[:number].tolist()
    assert found == [list(event) for event in readable_evt3(words.tolist())]
    assert number + untimed == size


def test_clocks_continue_after_their_overflow(tmp_path):
    words = [0x0001, 0x8FFF, 0x6001, 0x2001, 0x8000, 0x6002, 0x2001]
    found = read_events(raw(tmp_path, HEAD3, words, "<u2"))
    assert np.diff(found.events["t"]).tolist() == [4096 + 1]
    words = [8 << 28 | 2**28 - 1, 0, 8 << 28, 0]
    found = read_events(raw(tmp_path, HEAD2, words, "<u4"))
    assert np.diff(found.events["t"]).tolist() == [64]


@pytest.mark.parametrize(
    "head",
    [
        b"% evt 2.1\n",
        b"% format EVT21;height=1;width=1\n",
        b"% date 1\n",
        b"% evt 3.0\n% endianness big\n",
        b"% format EVT3;height\n",
    ],
    ids=["evt21", "format21", "none", "big", "broken"],
)
def test_other_encodings_are_refused(head, tmp_path):
    with pytest.raises(DataError):
        read_events(raw(tmp_path, head, [0x8000] * 8, "<u2"), height=10, width=10)
