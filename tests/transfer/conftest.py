"""Suites of named tasks, and entries of files."""

import pytest

from snnssl_mm.transfer.entries import Entry, read_entries
from snnssl_mm.transfer.suites import read_suite


@pytest.fixture
def suite_of(tmp_path):
    """Return a function that makes a suite of named tasks."""

    def make(**tasks):
        settings = dict(pretraining="pretraining.py", tasks=tasks)
        return read_suite(settings, tmp_path / "suite.py")

    return make


@pytest.fixture
def entries_of():
    """Return a function that makes entries of files, with random weights last."""
    return lambda **files: [
        *(read_entries([f"{n}={f}"], ())[0] for n, f in files.items()),
        Entry("random"),
    ]
