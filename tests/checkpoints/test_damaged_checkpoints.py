"""Truncated checkpoints and flipped bits give the same weights or an error."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from snnssl_mm.checkpoints.loading import read_checkpoint

torch.manual_seed(0)
WEIGHTS = {
    "state_dict": nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16)).state_dict()
}


def intact():
    """Bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(WEIGHTS | {"meta": {"epoch": 3}}, buffer)
    return buffer.getvalue()


INTACT = intact()


def outcome(content, folder):
    """Write and read content; return whether it was loaded, with the same weights."""
    file = folder / "file.pth"
    file.write_bytes(content)
    try:
        found = read_checkpoint(str(file))
    except ValueError as error:
        found, message = None, str(error)
    if found is None:
        assert str(file) in message
        return False
    assert found["meta"] == {"epoch": 3}
    for name, tensor in WEIGHTS["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor)
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def test_an_intact_file(folder):
    assert outcome(INTACT, folder)


@given(length=st.integers(0, len(INTACT) - 1))
def test_cut_off(folder, length):
    assert not outcome(INTACT[:length], folder)


@given(position=st.integers(0, len(INTACT) - 1), bit=st.integers(0, 7))
def test_one_bit_flipped(folder, position, bit):
    content = bytearray(INTACT)
    content[position] ^= 1 << bit
    outcome(bytes(content), folder)


@pytest.mark.parametrize("start", range(7))
def test_bits_flipped_all_over(folder, start):
    """A flip in the numbers themselves is always seen."""
    numbers = WEIGHTS["state_dict"]["0.weight"].numpy().tobytes()
    first = INTACT.index(numbers)
    seen = 0
    for position in range(start, len(INTACT), 37):
        content = bytearray(INTACT)
        content[position] ^= 1 << position % 8
        loaded = outcome(bytes(content), folder)
        seen += not loaded
        assert not (loaded and first <= position < first + len(numbers))
    assert seen > 10


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(INTACT) - 1), st.binary(max_size=40)), max_size=4
    )
)
def test_stretches_overwritten_or_taken_out(folder, edits):
    content = INTACT
    for position, new in edits:
        content = content[:position] + new + content[position + 20 :]
    outcome(content, folder)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes(folder, content):
    for start in (b"", b"PK\3\4", b"\x80\2", INTACT[:200]):
        assert not outcome(start + content, folder)
