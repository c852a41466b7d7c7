"""The guard against NaN: it names iteration, layer, kind and checkpoint, and it looks."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS

from mmengine.hooks import Hook

from snnssl_mm.engine.training_stopped import TrainingStopped

GUARD = dict(type="snnssl_mm.NonFiniteHook")


@HOOKS.register_module(force=True)
class PlantHook(Hook):
    """Call ``plant(model)`` before an iteration, counted from 1."""

    def __init__(self, at, plant):
        self.at, self.plant = at, plant

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.at:
            self.plant(runner)


@pytest.fixture
def train(tiny_config, tmp_path):
    """Train with hooks that the test names, in this process."""
    from snnssl_mm.tooling import Config as _  # noqa: F401
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.runner import Runner
    from mmengine.visualization import Visualizer

    def run(*hooks, **changes):
        for keeper in (MMLogger, MessageHub, Visualizer):
            keeper._instance_dict.clear()
        cfg = Config.fromfile(tiny_config)
        cfg.custom_hooks = []
        cfg.merge_from_dict({"model.backbone.time_steps": 2, **changes})
        cfg.work_dir = str(tmp_path / "run")
        runner = Runner.from_cfg(cfg)
        for hook in hooks:
            runner.register_hook(copy.deepcopy(hook) if isinstance(hook, dict) else hook)
        runner.train()
        return runner

    return run


def nan_in(name):
    def plant(runner):
        runner.model.get_parameter(name).data.view(-1)[0] = float("nan")

    return plant


def test_nan_in_a_weight(train, tmp_path):
    name = "backbone.stem.stages.2.conv.weight"
    with pytest.raises(TrainingStopped) as error:
        train(GUARD, PlantHook(6, nan_in(name)))
    message = str(error.value)
    assert "at iteration 6 (epoch 2)" in message
    assert "weights, backbone.stem.stages.2.conv: its weight" in message
    assert f"--resume {tmp_path / 'run' / 'epoch_1.pth'}" in message
    assert not (tmp_path / "run" / "epoch_2.pth").exists()
