"""Options of the training command, and errors that stop training before it starts."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from monitors import without_monitors

from snnssl_mm.checks.config.problem import ConfigError
from snnssl_mm.engine import launch

ROOT = Path(__file__).parents[2]
ACCUMULATING = "spikformer-16-512_ctl_in1k_accumulate"


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


def scaled_lr(cfg, folder, processes):
    """Return the largest learning rate of a training; biases may have a smaller one."""
    cfg.work_dir, cfg.experiment_name = str(folder), folder.name
    runner = launch.build_runner(launch.adjust(cfg, auto_scale_lr=True))
    runner._world_size = processes
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    return max(wrapper.get_lr()["lr"])


@pytest.mark.parametrize("accumulated", [None, 1, 3])
@pytest.mark.parametrize("processes", [1, 4])
def test_the_learning_rate_is_scaled_by_the_images_of_an_update(
    cfg, accumulated, processes, tmp_path
):
    cfg.train_dataloader.batch_size = 8
    cfg.auto_scale_lr = dict(base_batch_size=16)
    cfg.optim_wrapper.optimizer = dict(type="SGD", lr=0.5, weight_decay=0.0)
    if accumulated:
        cfg.optim_wrapper.accumulative_counts = accumulated
    expected = 0.5 * (processes * 8 * (accumulated or 1)) / 16
    assert scaled_lr(cfg, tmp_path, processes) == pytest.approx(expected)
    assert cfg.auto_scale_lr.base_batch_size == 16


@pytest.mark.parametrize("processes", [1, 8])
def test_the_shipped_config_that_accumulates_is_scaled_likewise(
    cfg, processes, tmp_path
):
    shipped = Config.fromfile(ROOT / f"configs/selfsup/{ACCUMULATING}.py")
    rate = shipped.optim_wrapper.optimizer.lr
    shipped.model = cfg.model
    found = scaled_lr(shipped, tmp_path, processes)
    assert found == pytest.approx(rate * processes / 8)


def test_a_flexible_runner_scales_likewise(cfg, tmp_path):
    cfg.merge_from_dict(
        dict(
            runner_type="FlexibleRunner",
            strategy=dict(type="SingleDeviceStrategy"),
            auto_scale_lr=dict(base_batch_size=16),
            train_cfg=dict(
                _delete_=True, type="IterBasedTrainLoop", max_iters=1, val_interval=9
            ),
        )
    )
    without_monitors(cfg)
    cfg.param_scheduler, cfg.default_hooks.checkpoint = None, None
    cfg.optim_wrapper.accumulative_counts = 3
    cfg.optim_wrapper.optimizer = dict(type="SGD", lr=0.5, weight_decay=0.0)
    size = cfg.train_dataloader.batch_size
    launch.adjust(cfg, work_dir=str(tmp_path / "run"), auto_scale_lr=True)
    runner = launch.train(cfg, preflight=False)
    (rate,) = set(runner.optim_wrapper.get_lr()["lr"])
    assert rate == pytest.approx(0.5 * 3 * size / 16)


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
