"""How snnssl train prepares FlexibleRunner: strategies, sync_bn, DeepSpeed."""

import importlib.util
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine._strategy import DeepSpeedStrategy
from mmengine._strategy.base import BaseStrategy
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from monitors import without_monitors

from snnssl_mm.checkpoints.loading import find_state_dict
from snnssl_mm.engine import strategies

ROOT = Path(__file__).parents[2]


@pytest.fixture
def deepspeed():
    cfg = Config.fromfile(
        ROOT / "configs/selfsup/spikformer-16-512_ctl_in1k_deepspeed.py"
    )
    cfg.launcher = "pytorch"
    return cfg


def test_deepspeed_config_has_arguments_that_its_strategy_takes(deepspeed):
    known = {
        name
        for function in (DeepSpeedStrategy.__init__, BaseStrategy.__init__)
        for name in inspect.signature(function).parameters
    }
    assert set(deepspeed.strategy) - {"type"} <= known - {"self", "kwargs"}
    for_the_constructor = {"constructor", "optimizer", "paramwise_cfg"}
    assert set(deepspeed.optim_wrapper) <= {"type", *for_the_constructor}


def test_requirements_of_deepspeed_are_named(deepspeed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(strategies.StrategyError, match="deepspeed"):
        strategies.fit_strategy(deepspeed)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    strategies.fit_strategy(deepspeed)
    deepspeed.optim_wrapper.type = "AmpOptimWrapper"
    with pytest.raises(strategies.StrategyError, match="'AmpOptimWrapper'"):
        strategies.fit_strategy(deepspeed)
    deepspeed.optim_wrapper.type = "DeepSpeedOptimWrapper"
    deepspeed.auto_scale_lr.enable = True
    with pytest.raises(strategies.StrategyError, match="auto_scale_lr"):
        strategies.fit_strategy(deepspeed)
    deepspeed.auto_scale_lr.enable = False
    deepspeed.launcher = "none"
    with pytest.raises(strategies.StrategyError, match="torchrun"):
        strategies.fit_strategy(deepspeed)


@pytest.mark.parametrize("distributed", [True, False])
def test_sync_bn_is_applied_with_any_strategy(tiny_config, distributed):
    """Also for strategies of mmengine that do not support it."""
    cfg = Config.fromfile(tiny_config)
    cfg.sync_bn = "torch"
    init_default_scope("mmpretrain")
    strategy = SimpleNamespace(build_model=MODELS.build)
    runner = SimpleNamespace(strategy=strategy, model=cfg.model)
    runner.distributed = distributed
    strategies.build_model(runner, cfg)
    norms = [type(m).__name__ for m in runner.model.modules()]
    assert ("SyncBatchNorm" in norms) == distributed
    assert ("BatchNorm2d" in norms or "BatchNorm1d" in norms) != distributed


def test_one_process_trains_without_a_launcher(run_tool, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.runner_type, cfg.strategy = "FlexibleRunner", dict(type="FSDPStrategy")
    without_monitors(cfg)
    cfg.train_cfg.max_epochs = 1
    cfg.param_scheduler = None
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.dump(tiny_config)
    run_tool("train", tiny_config, "--work-dir", tmp_path / "run")
    assert torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=False)


def test_weights_of_a_deepspeed_checkpoint_are_found():
    weights = {"backbone.weight": torch.zeros(1)}
    assert find_state_dict({"module": weights, "ds_config": {}}) is weights


@pytest.mark.parametrize("launcher", strategies.LAUNCHED_BY)
def test_a_launcher_that_did_not_start_the_process_is_refused(launcher, monkeypatch):
    variable, _ = strategies.LAUNCHED_BY[launcher]
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(strategies.StrategyError, match=variable):
        strategies.require_launched(launcher)
    monkeypatch.setenv(variable, "0")
    strategies.require_launched(launcher)
    strategies.require_launched("none")
