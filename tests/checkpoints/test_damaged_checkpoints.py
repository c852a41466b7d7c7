"""Truncated checkpoints and flipped bits give the same weights or an error."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.checkpoints.publishing import FORMATS

torch.manual_seed(0)
WEIGHTS = {
    "state_dict": nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16)).state_dict()
}


INTACT = {
    kind: pack(WEIGHTS["state_dict"], {"epoch": 3}) for kind, pack in FORMATS.items()
}


@pytest.fixture(params=INTACT, scope="module")
def intact(request):
    """Bytes of a checkpoint, in each format."""
    return INTACT[request.param]


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


def test_an_intact_file(intact, folder):
    assert outcome(intact, folder)


@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_off(intact, folder, share):
    assert not outcome(intact[: int(share * len(intact))], folder)


@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_bit_flipped(intact, folder, share, bit):
    content = bytearray(intact)
    content[int(share * len(intact))] ^= 1 << bit
    outcome(bytes(content), folder)


@pytest.mark.parametrize("start", range(7))
def test_bits_flipped_all_over(intact, folder, start):
    """A flip in the numbers themselves is always seen."""
    numbers = WEIGHTS["state_dict"]["0.weight"].numpy().tobytes()
    first = intact.index(numbers)
    seen = 0
    for position in range(start, len(intact), 37):
        content = bytearray(intact)
        content[position] ^= 1 << position % 8
        loaded = outcome(bytes(content), folder)
        seen += not loaded
        assert not (loaded and first <= position < first + len(numbers))
    assert seen > 10


@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=40)),
        max_size=4,
    )
)
def test_stretches_overwritten_or_taken_out(intact, folder, edits):
    content = intact
    for share, new in edits:
        position = int(share * len(intact))
        content = content[:position] + new + content[position + 20 :]
    outcome(content, folder)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes(intact, folder, content):
    for start in (b"", b"PK\3\4", b"\x80\2", intact[:200]):
        assert not outcome(start + content, folder)
