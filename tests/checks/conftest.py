"""Fixtures of the tests of data and pre-flight: a job on data that tests may spoil."""

import pytest
from downstream_tasks import TASKS, write_config, write_scenes
from mmengine.config import Config

from snnssl_mm.checks import data, preflight


@pytest.fixture
def job(tmp_path):
    """Make a config on its own data, which the test may spoil."""

    def make(name):
        write_scenes(tmp_path)
        return Config.fromfile(
            write_config(tmp_path / f"{name}.py", TASKS[name](tmp_path))
        )

    return make


@pytest.fixture
def lines(monkeypatch):
    """Lines that the pre-flight logs."""
    logged = []
    monkeypatch.setattr(data, "say", logged.append)
    monkeypatch.setattr(preflight, "say", logged.append)
    return logged
