"""Options of the training command, and errors that stop training before it starts."""

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.checks.config.problem import ConfigError
from snnssl_mm.engine import launch


@pytest.fixture
def cfg(tiny_config):
    return Config.fromfile(tiny_config)


def test_nothing_asked_for_changes_no_setting_of_the_training(cfg, tiny_config):
    before = Config.fromfile(tiny_config)
    launch.adjust(cfg)
    for name in ("model", "train_dataloader", "optim_wrapper", "train_cfg"):
        assert cfg[name] == before[name]
    assert cfg.work_dir == "work_dirs/tiny"
    assert not cfg.get("resume")


@pytest.mark.parametrize(
    ("resume", "load_from"), [("auto", None), ("epoch_3.pth", "epoch_3.pth")]
)
def test_resuming_names_a_checkpoint_or_lets_it_be_found(cfg, resume, load_from):
    cfg.load_from = "other.pth"
    launch.adjust(cfg, resume=resume)
    assert (cfg.resume, cfg.load_from) == (True, load_from)


def test_amp_keeps_the_optimizer_and_its_other_settings(cfg):
    optimizer = dict(cfg.optim_wrapper.optimizer)
    cfg.optim_wrapper.accumulative_counts = 4
    launch.adjust(cfg, amp="bfloat16")
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.optim_wrapper.accumulative_counts == 4
    assert "Amp" in cfg.optim_wrapper.type


def test_scaling_the_learning_rate_needs_the_batch_size_it_is_made_for(cfg):
    cfg.pop("auto_scale_lr", None)
    with pytest.raises(ValueError, match="base_batch_size"):
        launch.adjust(cfg, auto_scale_lr=True)
    cfg.auto_scale_lr = dict(base_batch_size=64)
    assert launch.adjust(cfg, auto_scale_lr=True).auto_scale_lr.enable


@pytest.mark.parametrize("section", ["model", "train_dataloader", "optim_wrapper"])
def test_a_missing_section_is_named(cfg, section):
    cfg[section] = None
    with pytest.raises(ConfigError, match=section):
        launch.train(cfg)


def test_a_wrong_name_stops_before_anything_is_written(cfg, tmp_path):
    launch.adjust(cfg, work_dir=str(tmp_path / "run"))
    cfg.model.backbone.tiem_steps = 4
    with pytest.raises(ConfigError, match="time_steps"):
        launch.train(cfg)
    assert not (tmp_path / "run").exists()


def test_training_returns_the_runner_that_trained(cfg, tmp_path):
    cfg.eval_train_dataloader = cfg.eval_test_dataloader = None
    cfg.train_cfg.max_epochs = 1
    runner = launch.train(launch.adjust(cfg, work_dir=str(tmp_path / "run")))
    assert runner.epoch == 1
    assert (tmp_path / "run" / "epoch_1.pth").exists()


def test_a_cuda_graph_needs_a_gpu_and_is_added_once(cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--graph"):
        launch.adjust(cfg, graph=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert launch.adjust(cfg, graph=True).default_hooks.graph.type.endswith("Hook")
    cfg.default_hooks.graph.warmup = 5
    assert launch.adjust(cfg, graph=True).default_hooks.graph.warmup == 5
