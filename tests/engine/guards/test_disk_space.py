"""Room for checkpoints: what they take, too little room, a disk that fails."""

import errno
from collections import namedtuple

import pytest
import torch
from mmengine.config import Config
from torch import nn
from toy_runs import loader, toy_run

from snnssl_mm.engine.guards import disk_space
from snnssl_mm.engine.guards.disk_space import (
    GIB,
    HISTORY,
    TEXT,
    check_disk_space,
    checkpoint_sizes,
    disk_faults_as_sentences,
    state_copies,
)
from snnssl_mm.engine.guards.training_stopped import TrainingStopped

Usage = namedtuple("Usage", "total used free")
MODEL = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.BatchNorm1d(1024))
WEIGHTS = sum(t.nbytes for t in MODEL.state_dict().values()) + TEXT
TRAINED = sum(p.nbytes for p in MODEL.parameters())


def config(optimizer="AdamW", ema=False, **checkpoint):
    return Config(
        dict(
            optim_wrapper=dict(optimizer=dict(type=optimizer, lr=0.1)),
            default_hooks=dict(checkpoint=dict(interval=1, **checkpoint)),
            custom_hooks=[dict(type="EMAHook")] if ema else [],
        )
    )


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        (dict(type="AdamW", lr=1e-3), 2),
        (dict(type="SGD", lr=0.1, momentum=0.9), 1),
        (dict(type="SGD", lr=0.1), 0),
        (dict(type="mmpretrain.LARS", lr=0.1, momentum=0.9), 1),
        (dict(type="NoSuchOptimizer"), 2),
    ],
)
def test_the_optimizers_state_is_found_by_a_step(optimizer, copies):
    assert state_copies(optimizer) == copies


def test_the_estimate_is_what_a_training_writes(tmp_path):
    run = toy_run(
        tmp_path, loader(), dict(by_epoch=True, max_epochs=1), {"interval": 1}
    )
    model = run.model.layer
    run.model.layer = nn.Linear(
        4, 2_000_000
    )  # weights, beside what else is in the file
    run.optim_wrapper.optimizer = torch.optim.Adam(run.model.parameters())
    run.model([torch.zeros(4)], "loss")["loss"].backward()
    run.optim_wrapper.optimizer.step()
    run.save_checkpoint(str(tmp_path), "large.pth")
    sizes = checkpoint_sizes(config("Adam"), run.model, 1, 4)
    assert sizes.whole == pytest.approx(
        (tmp_path / "large.pth").stat().st_size, rel=0.05
    )
    assert sizes.whole > 10 * checkpoint_sizes(config("Adam"), model, 1, 4).whole


def test_what_is_kept_at_once():
    sizes = checkpoint_sizes(
        config(max_keep_ckpts=2, save_best="acc"), MODEL, 100, 1000
    )
    one = WEIGHTS + 1000 * HISTORY
    assert sizes == (one + 2 * TRAINED, one, 3, 2)
    assert checkpoint_sizes(config(), MODEL, 100, 1000).whole_count == 100
    assert checkpoint_sizes(config(max_keep_ckpts=5), MODEL, 2, 20).whole_count == 2
    small = checkpoint_sizes(config(save_optimizer=False, ema=True), MODEL, 1, 10)
    assert small.total == small.whole == 2 * WEIGHTS - TEXT + 10 * HISTORY


def test_too_little_room_is_said_with_numbers(tmp_path, monkeypatch):
    cfg = config(max_keep_ckpts=2)
    cfg.work_dir = str(tmp_path)
    need = checkpoint_sizes(cfg, MODEL, 100, 1000).total
    usage = lambda free: lambda _: Usage(10 * GIB, 0, free)  # noqa: E731
    monkeypatch.setattr(disk_space.shutil, "disk_usage", usage(need))
    check_disk_space(cfg, MODEL, 100, 1000)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", usage(need - 1000))
    with pytest.raises(OSError, match=r"need 0\.04 GiB in .*\(3 of 0\.01 GiB: .*free"):
        check_disk_space(cfg, MODEL, 100, 1000)
    (tmp_path / "epoch_3.pth").write_bytes(bytes(1000))  # the run will replace it
    check_disk_space(cfg, MODEL, 100, 1000)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fails_is_a_sentence_with_the_last_checkpoint(tmp_path, fault):
    def fail():
        with disk_faults_as_sentences(str(tmp_path)):
            raise OSError(fault, "it is so", "some/file")

    with pytest.raises(TrainingStopped, match="some/file: it is so"):
        fail()
    torch.save({}, tmp_path / "epoch_1.pth")
    (tmp_path / "epoch_2.pth").write_bytes(b"damaged")
    with pytest.raises(TrainingStopped, match=r"epoch_1\.pth"):
        fail()


def test_other_errors_keep_their_traceback(tmp_path):
    with pytest.raises(ConnectionError), disk_faults_as_sentences(str(tmp_path)):
        raise ConnectionError(errno.ECONNRESET, "reset")
