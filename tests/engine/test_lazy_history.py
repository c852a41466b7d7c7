"""Lazy histories equal mmengine's, whoever reads them and whenever."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from snnssl_mm.engine import lazy_history
from snnssl_mm.engine.lazy_history import LazyHistory, PendingValues, fetch

NUMBERS = (0.1, 0.5, 2.0, -1.0, 0.25)


def histories(**settings):
    """A plain history and a lazy one of the same numbers, of which four are pending."""
    plain, start = (HistoryBuffer(NUMBERS[:1], [1], **settings) for _ in range(2))
    pending = PendingValues()
    lazy = LazyHistory(start, pending)
    for number in NUMBERS[1:]:
        plain.update(torch.tensor(number).item())
        pending.add(lazy, torch.tensor(number))
    return plain, lazy


READERS = {
    "mean": lambda h: h.mean(3),
    "mean of all": lambda h: h.mean(),
    "current": lambda h: h.current(),
    "least": lambda h: h.min(2),
    "by name": lambda h: h.statistics("max"),
    "values": lambda h: h.data[0].tolist(),
    "counts": lambda h: h.data[1].tolist(),
    "copied": lambda h: copy.deepcopy(h).data[0].tolist(),
    "pickled": lambda h: pickle.loads(pickle.dumps(h)).data[0].tolist(),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_reader_sees_all_values(read):
    plain, lazy = histories()
    assert read(lazy) == read(plain)
    assert not lazy.pending.entries


def test_numbers_of_the_host_stay_in_order():
    plain, lazy = histories()
    for history in (plain, lazy):
        history.update(7.0)
    assert lazy.data[0].tolist() == plain.data[0].tolist()


def test_the_longest_length_is_kept():
    plain, lazy = histories(max_length=3)
    for mine, theirs in zip(lazy.data, plain.data, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype


def test_copies_are_plain():
    _, lazy = histories()
    assert type(copy.deepcopy(lazy)) is HistoryBuffer


def test_reading_one_history_fetches_all(monkeypatch):
    _, first = histories()
    second = LazyHistory(HistoryBuffer(), first.pending)
    first.pending.add(second, torch.tensor(3.0))
    transfers = []
    monkeypatch.setattr(
        lazy_history, "fetch", lambda v: transfers.append(v) or fetch(v)
    )
    assert first.current() == 0.25
    assert second.data[0].tolist() == [3.0]
    assert [len(values) for values in transfers if values] == [5]


def test_many_values_do_not_wait(monkeypatch):
    monkeypatch.setattr(lazy_history, "LONGEST", 4)
    _, lazy = histories()
    assert not lazy.pending.entries


def test_values_of_several_types_are_exact():
    types = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    values = [torch.tensor([0.1], dtype=dtype) for dtype in types]
    assert fetch(values) == [value.item() for value in values]
