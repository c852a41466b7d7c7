"""Disk space for checkpoints: estimates, too little space, a disk that fails."""

import errno
from collections import namedtuple

import pytest
import torch
from mmengine.config import Config
from torch import nn

from snnssl_mm.engine.guards import disk_space
from snnssl_mm.engine.guards.disk_space import (
    GIB,
    checkpoint_bytes,
    checkpoints_kept,
    explain_disk_errors,
    require_disk_space,
)
from snnssl_mm.engine.guards.training_stopped import TrainingStopped

Usage = namedtuple("Usage", "total used free")
MODEL = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.BatchNorm1d(1024))
WEIGHTS = sum(t.nbytes for t in MODEL.state_dict().values())
TRAINED = sum(p.nbytes for p in MODEL.parameters())


def config(optimizer="AdamW", momentum=0, **checkpoint):
    settings = dict(type=optimizer, lr=0.1, momentum=momentum)
    return Config(
        dict(
            optim_wrapper=dict(optimizer=settings),
            default_hooks=dict(checkpoint=dict(interval=1, **checkpoint)),
        )
    )


@pytest.mark.parametrize(
    ("options", "moments"),
    [
        (dict(optimizer="AdamW"), 2),
        (dict(optimizer="SGD", momentum=0.9), 1),
        (dict(optimizer="SGD"), 0),
        (dict(optimizer="AdamW", save_optimizer=False), 0),
    ],
)
def test_the_estimate_is_a_lower_bound_of_what_is_written(options, moments, tmp_path):
    cfg = config(**options)
    estimate = checkpoint_bytes(cfg, MODEL)
    assert estimate == WEIGHTS + moments * TRAINED
    copies = [torch.zeros(TRAINED // 4) for _ in range(moments)]
    torch.save([MODEL.state_dict(), copies], tmp_path / "checkpoint.pth")
    written = (tmp_path / "checkpoint.pth").stat().st_size
    assert estimate <= written <= 1.05 * estimate


@pytest.mark.parametrize(
    ("options", "epochs", "number"),
    [
        (dict(max_keep_ckpts=2), 100, 3),
        (dict(max_keep_ckpts=5), 2, 2),
        (dict(), 100, 100),
        (dict(by_epoch=False, interval=500, max_keep_ckpts=9), 100, 2),
    ],
)
def test_what_is_kept_at_once(options, epochs, number):
    cfg = config()
    cfg.default_hooks.checkpoint.update(options)
    assert checkpoints_kept(cfg, epochs, 1000) == number


def test_too_little_space_is_refused_with_the_sizes(tmp_path, monkeypatch):
    cfg = config(max_keep_ckpts=2)
    cfg.work_dir = str(tmp_path)
    need = 3 * checkpoint_bytes(cfg, MODEL)
    usage = lambda free: lambda _: Usage(10 * GIB, 0, free)  # noqa: E731
    monkeypatch.setattr(disk_space.shutil, "disk_usage", usage(need))
    require_disk_space(cfg, MODEL, 100, 1000)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", usage(need - 1000))
    with pytest.raises(OSError, match=r"0\.04 GiB"):
        require_disk_space(cfg, MODEL, 100, 1000)
    (tmp_path / "epoch_3.pth").write_bytes(bytes(1000))  # the run will replace it
    require_disk_space(cfg, MODEL, 100, 1000)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS])
def test_a_disk_error_names_the_file_and_the_last_checkpoint(tmp_path, fault):
    def fail():
        with explain_disk_errors(str(tmp_path)):
            raise OSError(fault, "its reason", "some/file")

    with pytest.raises(TrainingStopped, match="some/file.*its reason"):
        fail()
    torch.save({}, tmp_path / "epoch_1.pth")
    (tmp_path / "epoch_2.pth").write_bytes(b"damaged")
    with pytest.raises(TrainingStopped, match=r"epoch_1\.pth"):
        fail()


def test_other_errors_keep_their_traceback(tmp_path):
    with pytest.raises(ConnectionError), explain_disk_errors(str(tmp_path)):
        raise ConnectionError(errno.ECONNRESET, "reset")
