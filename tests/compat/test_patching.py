"""Workarounds are applied at the right moment of their module's import."""

import importlib
import sys

import pytest

from snnssl_mm.compat.patching import PatchingFinder, Workaround
from snnssl_mm.compat.status import Status

CURED = Status("cured", "")


@pytest.fixture
def finder(tmp_path, monkeypatch):
    """A separate finder, and a module ``patched_here`` whose value is 1."""
    finder = PatchingFinder()
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "patched_here.py").write_text("value = 1\n")
    yield finder
    sys.modules.pop("patched_here", None)


def double():
    sys.modules["patched_here"].value *= 2
    return CURED


def test_a_module_is_patched_once_when_it_is_imported(finder):
    row = Workaround(double, "patched_here")
    finder.patch([row])
    finder.patch([row])
    assert "patched_here" not in sys.modules
    assert importlib.import_module("patched_here").value == 2


def test_an_imported_module_is_patched_once_and_immediately(finder):
    module = importlib.import_module("patched_here")
    for _ in range(2):
        finder.patch([Workaround(double, "patched_here")])
        assert module.value == 2


def test_a_workaround_before_the_import_sees_a_module_that_has_not_run(finder):
    seen = []

    def look():
        seen.append(hasattr(sys.modules["patched_here"], "value"))
        return CURED

    rows = [Workaround(look, "patched_here", before) for before in (False, True)]
    finder.patch(rows)
    importlib.import_module("patched_here")
    assert seen == [False, True]


def test_a_failed_import_is_patched_the_next_time(finder, tmp_path):
    file = tmp_path / "patched_here.py"
    file.write_text("1 / 0\n")
    finder.patch([Workaround(double, "patched_here")])
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("patched_here")
    file.write_text("value = 10  # now it is longer than before\n")
    importlib.invalidate_caches()
    assert importlib.import_module("patched_here").value == 20
