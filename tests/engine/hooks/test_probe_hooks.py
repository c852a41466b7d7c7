"""The linear probe is measured at the end, and in between if configured."""

from types import SimpleNamespace

import pytest

from snnssl_mm.engine import LinearProbeHook


@pytest.mark.parametrize(
    ("interval", "measured"), [(0, [6]), (1, [1, 2, 3, 4, 5, 6]), (4, [4, 6])]
)
def test_linear_probe_is_measured_every_interval_and_once_at_the_end(
    interval, measured, monkeypatch
):
    hook, epochs = LinearProbeHook(interval=interval), []
    monkeypatch.setattr(hook, "report", lambda runner, epoch: epochs.append(epoch))
    for epoch in range(6):  # mmengine counts an epoch after its hooks
        hook.after_train_epoch(SimpleNamespace(epoch=epoch, max_epochs=6))
    hook.after_train(SimpleNamespace(epoch=6))
    assert epochs == measured
