"""Peak memory in the log of a CPU run."""

import resource
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from snnssl_mm.engine import PeakMemoryHook
from snnssl_mm.recording import memory


@pytest.fixture
def runner():
    return SimpleNamespace(message_hub=MessageHub("peak-memory"), iter=0)


def test_the_peak_is_that_of_the_process(runner, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    hook = PeakMemoryHook(interval=2)
    runner.message_hub.log_scalars.clear()
    hook.after_train_iter(runner, 0)
    assert "train/memory" not in runner.message_hub.log_scalars
    runner.iter = 1
    hook.after_train_iter(runner, 0)  # an epoch of one iteration
    found = runner.message_hub.get_scalar("train/memory").current()
    now = int(memory.STATUS.with_name("statm").read_text().split()[1])
    assert found >= now * resource.getpagesize() / 2**20 * 0.99


def test_a_system_without_proc_logs_nothing(runner, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    runner.message_hub.log_scalars.clear()
    PeakMemoryHook(1).after_train_iter(runner, 0)
    assert not runner.message_hub.log_scalars


def test_an_interval_of_none_is_refused():
    with pytest.raises(ValueError, match="0"):
        PeakMemoryHook(0)
