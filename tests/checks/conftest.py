"""What the tests of data and pre-flight share: a job on data that they may spoil."""

import pytest
from downstream_tasks import TASKS, write_config, write_scenes
from mmengine.config import Config

from snnssl_mm.checks import data, preflight


@pytest.fixture
def job(tmp_path):
    """Make a config on data of its own, which the test may spoil."""

    def make(name):
        write_scenes(tmp_path)
        return Config.fromfile(
            write_config(tmp_path / f"{name}.py", TASKS[name](tmp_path))
        )

    return make


@pytest.fixture
def lines(monkeypatch):
    """What the pre-flight says."""
    said = []
    monkeypatch.setattr(data, "say", said.append)
    monkeypatch.setattr(preflight, "say", said.append)
    return said
