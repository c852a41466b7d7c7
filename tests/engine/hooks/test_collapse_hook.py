"""The collapse detector: no warning in a healthy run, warnings in a collapsed one."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from snnssl_mm.engine import CollapseHook, RepresentationHealthHook
from snnssl_mm.engine.guards.training_stopped import TrainingStopped
from snnssl_mm.engine.hooks import collapse_hook


def watched(hook, spreads, start=100):
    """Call a hook with the ``embedding_std`` of iterations; return its runner."""
    history = HistoryBuffer()
    hub = SimpleNamespace(get_scalar=lambda _: history)
    runner = SimpleNamespace(iter=start, message_hub=hub, logger=Mock())
    for spread in spreads:
        history.update(spread)
        hook.after_train_iter(runner, runner.iter, outputs={"embedding_std": spread})
        runner.iter += 1
    return runner


def warnings(runner):
    return [call.args[0] for call in runner.logger.warning.call_args_list]


def test_healthy_spreads_and_single_dips_pass():
    hook = CollapseHook(window=4)
    assert not warnings(watched(hook, [0.62, 0.79, 0.0, 0.9, 0.95, 0.9, 0.9] * 9))


def test_each_level_is_warned_of_once():
    hook = CollapseHook(levels=(0.2, 0.05), window=2)
    texts = warnings(watched(hook, [0.9, 0.3, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.0]))
    assert len(texts) == 2
    assert all(value in texts[0] for value in ("iteration 104", "0.100", "0.2 "))
    assert all(value in texts[1] for value in ("0.010", "0.05 "))


def test_values_of_a_device_are_read_at_the_interval(monkeypatch):
    spreads = [0.9, 0.3, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.0]
    at_once, later = (CollapseHook(levels=(0.2, 0.05), window=2) for _ in range(2))
    expected = warnings(watched(at_once, spreads))
    monkeypatch.setattr(collapse_hook, "is_on_device", lambda _: True)
    later.every = 8
    runner = watched(later, spreads)
    assert warnings(runner) == expected[:1]  # up to iteration 104
    later.after_train_epoch(runner)
    assert warnings(runner) == expected


def test_first_iterations_and_other_models_are_not_checked():
    assert not warnings(watched(CollapseHook(begin=100, window=2), [0.0] * 50, start=0))
    runner = SimpleNamespace(iter=100, message_hub=Mock(), logger=Mock())
    CollapseHook(window=1).after_train_iter(runner, 0, outputs={"loss": 1.0})
    assert not warnings(runner)


def test_lowest_level_stops_if_asked():
    hook = CollapseHook(window=2, stop=True)
    watched(hook, [0.1] * 9)
    with pytest.raises(TrainingStopped, match=r"embedding_std.* 0\.05 "):
        watched(hook, [0.0] * 9)


def test_processes_stop_by_the_mean_of_all(monkeypatch):
    hook = CollapseHook(window=2, stop=True)
    runner = watched(hook, [0.1])
    runner.model = nn.Linear(1, 1)
    runner.message_hub.get_scalar(0).update(0.0)
    runner.message_hub.get_scalar(0).update(0.0)
    monkeypatch.setattr(collapse_hook, "get_world_size", lambda: 2)
    other = [0.9, 0.0]  # of another process: its first value keeps both in training
    average = lambda shared, how: shared.add_(other.pop(0)).div_(2)  # noqa: E731
    monkeypatch.setattr(collapse_hook, "all_reduce", average)
    hook.after_train_iter(runner, 0, outputs={"embedding_std": 0.0})
    with pytest.raises(TrainingStopped):
        hook.after_train_iter(runner, 0, outputs={"embedding_std": 0.0})


def test_levels_must_fall():
    with pytest.raises(ValueError, match=r"levels=\(0\.05, 0\.2\)"):
        CollapseHook(levels=(0.05, 0.2))


@pytest.fixture
def spread(tiny_config):
    """Return a function for the embedding_std of the tiny model after ``plant``."""
    cfg = Config.fromfile(tiny_config)
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    views = list(torch.randn(2, 16, 3, 16, 16))

    def measure(plant=lambda model: None):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        plant(model.train())
        return float(model.loss(views)["embedding_std"])

    return measure


def no_projector(model):
    for parameter in model.neck.parameters():
        parameter.data.zero_()


def constant_output(model):
    def constant(module, inputs, output):
        return tuple(torch.ones_like(maps) for maps in output)

    model.backbone.register_forward_hook(constant)


def dead_backbone(model):
    """Shift the biases as a far too large step does."""
    for name, parameter in model.backbone.named_parameters():
        if name.endswith("bn.bias"):
            parameter.data.sub_(1e6)


@pytest.mark.parametrize("plant", [no_projector, constant_output, dead_backbone])
def test_planted_collapse_is_below_the_lowest_level(spread, plant):
    low = CollapseHook().levels[-1]
    assert spread() > 2 * CollapseHook().levels[0]
    assert spread(plant) < low


def test_health_hook_stops_if_asked(monkeypatch):
    hook = RepresentationHealthHook(stop=True)
    hook.results = Mock(find=Mock(return_value=None))
    monkeypatch.setattr(hook, "measure", lambda *_: "it collapsed")
    runner = SimpleNamespace(epoch=0, max_epochs=1, logger=Mock(), model=nn.Module())
    with pytest.raises(TrainingStopped, match="it collapsed"):
        hook.after_train_epoch(runner)
