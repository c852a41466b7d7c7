"""Workarounds wait for their module and act at the right moment of its import."""

import importlib
import sys

import pytest

from snnssl_mm.compat.mending import MendingFinder, Workaround
from snnssl_mm.compat.status import Status

CURED = Status("cured", "")


@pytest.fixture
def finder(tmp_path, monkeypatch):
    """A finder of its own, beside a module ``mended_here`` whose value is 1."""
    finder = MendingFinder()
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mended_here.py").write_text("value = 1\n")
    yield finder
    sys.modules.pop("mended_here", None)


def double():
    sys.modules["mended_here"].value *= 2
    return CURED


def test_a_module_is_mended_once_when_it_is_imported(finder):
    row = Workaround(double, "mended_here")
    finder.mend([row])
    finder.mend([row])
    assert "mended_here" not in sys.modules
    assert importlib.import_module("mended_here").value == 2


def test_a_module_that_is_there_is_mended_once_and_at_once(finder):
    module = importlib.import_module("mended_here")
    for _ in range(2):
        finder.mend([Workaround(double, "mended_here")])
        assert module.value == 2


def test_what_must_act_before_sees_a_module_that_has_not_run(finder):
    seen = []

    def look():
        seen.append(hasattr(sys.modules["mended_here"], "value"))
        return CURED

    rows = [Workaround(look, "mended_here", before) for before in (False, True)]
    finder.mend(rows)
    importlib.import_module("mended_here")
    assert seen == [False, True]


def test_an_import_that_failed_is_mended_the_next_time(finder, tmp_path):
    file = tmp_path / "mended_here.py"
    file.write_text("1 / 0\n")
    finder.mend([Workaround(double, "mended_here")])
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("mended_here")
    file.write_text("value = 10  # now it is longer than before\n")
    importlib.invalidate_caches()
    assert importlib.import_module("mended_here").value == 20
