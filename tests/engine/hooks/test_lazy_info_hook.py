"""Values that stay on the device: the same logs, and no waiting between two of them."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine_state import forget_runs
from monitors import without_monitors
from step_tape import synchronizations

from snnssl_mm.engine.hooks import collapse_hook, lazy_info_hook, non_finite_hook

TIMES = {"time", "data_time", "memory"}


@pytest.fixture
def train(tiny_config, tmp_path):
    """Train two epochs of eight iterations, with a LoggerHook every third."""

    def run(info, work_dir, **kept):
        forget_runs()
        cfg = Config.fromfile(tiny_config)
        without_monitors(cfg, **kept)
        cfg.merge_from_dict(
            {
                "model.backbone.time_steps": 2,
                "train_dataloader.batch_size": 8,
                "default_hooks.logger.interval": 3,
                "default_hooks.runtime_info": info,
            }
        )
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.experiment_name = f"{work_dir}-{tmp_path.name}"  # not the second it began
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    return run


def logged(runner):
    (file,) = Path(runner.work_dir).rglob("scalars.json")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [[(k, v) for k, v in row.items() if k not in TIMES] for row in rows]


def test_logs_and_checkpoints_are_those_of_values_read_at_once(train):
    lazy = train(dict(type="snnssl_mm.LazyInfoHook", defer=True), "lazy")
    stock = train(dict(type="RuntimeInfoHook"), "stock")
    assert logged(lazy) == logged(stock)
    assert len(logged(lazy)) >= 4
    for mine, theirs in zip(saved(lazy), saved(stock), strict=True):
        assert mine == theirs


def saved(runner):
    """Names, types and values of the histories in the last checkpoint."""
    hub = torch.load(f"{runner.work_dir}/epoch_2.pth", weights_only=False)
    for name, history in hub["message_hub"]["log_scalars"].items():
        values, counts = history.data
        timed = name.rpartition("/")[2] in TIMES
        yield name, type(history), None if timed else values.tolist(), counts.tolist()


def test_nothing_waits_for_the_device_between_two_logs(train, monkeypatch):
    for module in (lazy_info_hook, non_finite_hook, collapse_hook):
        monkeypatch.setattr(module, "is_on_device", torch.is_tensor)
    waits = []
    run_iter = EpochBasedTrainLoop.run_iter

    def watched(loop, index, batch):
        with synchronizations() as found:
            run_iter(loop, index, batch)
        waits.append(found)

    monkeypatch.setattr(EpochBasedTrainLoop, "run_iter", watched)
    train(
        dict(type="snnssl_mm.LazyInfoHook"),
        "run",
        non_finite=dict(type="snnssl_mm.NonFiniteHook"),
        collapse=dict(type="snnssl_mm.CollapseHook", begin=0, window=2),
        firing_rate=dict(type="snnssl_mm.FiringRateHook"),
    )
    quiet = [not found for found in waits]
    # The first iteration, every third and the last of an epoch may wait.
    epoch = [True, True, False, True, True, False, True, False]
    assert quiet == [False, *epoch[1:], *epoch]
    # One transfer for the log, one for the guard.
    assert max(found.count("tolist") for found in waits) == 2
