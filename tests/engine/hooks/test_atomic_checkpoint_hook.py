"""There is an intact checkpoint at any time, and runs resume bit-identically."""

import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from toy_runs import Noise, Score, loader, toy_run

from snnssl_mm.checkpoints import atomic_files
from snnssl_mm.checkpoints.resuming import CheckpointError, damage
from snnssl_mm.engine import AtomicCheckpointHook
from snnssl_mm.engine.hooks.atomic_checkpoint_hook import use_atomic_checkpoints

EPOCHS = dict(by_epoch=True, max_epochs=3)
ITERATIONS = dict(type="IterBasedTrainLoop", max_iters=10, val_interval=5)
SEEDS = [dict(type="snnssl_mm.IterationSeedHook")]


def names(folder):
    return sorted(p.name for p in Path(folder).iterdir() if p.is_file())


def failing_fsync(monkeypatch, number, fault=errno.ENOSPC):
    """Make the disk fail for the ``number``-th checkpoint file."""
    real, files = os.fsync, []

    def fsync(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if ".pth." in name:
            files.append(name)
            if len(files) == number:
                raise OSError(fault, os.strerror(fault))
        real(descriptor)

    monkeypatch.setattr(atomic_files.os, "fsync", fsync)


def test_each_name_means_the_hook_of_its_own_library():
    assert HOOKS.get("CheckpointHook") is CheckpointHook
    assert HOOKS.get("snnssl_mm.AtomicCheckpointHook") is AtomicCheckpointHook


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("CheckpointHook", True),
        ("mmengine.CheckpointHook", True),
        ("mmengine.hooks.CheckpointHook", True),
        (CheckpointHook, True),
        ("snnssl_mm.AtomicCheckpointHook", True),
        ("EMAHook", False),
    ],
)
def test_stock_hooks_are_replaced_with_their_settings(kind, taken):
    hook = dict(type=kind, interval=3)
    cfg = Config(dict(default_hooks=dict(checkpoint=hook)))
    use_atomic_checkpoints(cfg)
    expected = "snnssl_mm.AtomicCheckpointHook" if taken else kind
    assert cfg.default_hooks == dict(checkpoint=dict(type=expected, interval=3))


def test_a_config_without_checkpoint_hook_gets_one_unless_it_was_removed():
    for hooks in ({}, dict(default_hooks=dict(timer=None))):
        cfg = Config(hooks)
        use_atomic_checkpoints(cfg)
        assert cfg.default_hooks.checkpoint.type == "snnssl_mm.AtomicCheckpointHook"
    removed = Config(dict(default_hooks=dict(checkpoint=None)))
    use_atomic_checkpoints(removed)
    assert removed.default_hooks == dict(checkpoint=None)


def test_a_run_of_mmengines_hook_is_resumed(tmp_path):
    stock = dict(type="CheckpointHook", interval=1)
    first = toy_run(tmp_path, loader(), EPOCHS, stock, stop_at=9)
    assert type(first.hooks[-1]) is CheckpointHook
    rest = toy_run(tmp_path, loader(), EPOCHS, dict(interval=1), resume=True)
    assert (rest.epoch, len(rest.model.seen)) == (3, 4)


def test_a_full_disk_leaves_the_previous_checkpoint_and_its_name(tmp_path, monkeypatch):
    failing_fsync(monkeypatch, 2)
    with pytest.raises(OSError, match="No space left"):
        toy_run(tmp_path, loader(), EPOCHS, dict(interval=1, max_keep_ckpts=1))
    assert [n for n in names(tmp_path) if not n.endswith(".py")] == [
        "epoch_1.pth",
        "last_checkpoint",
    ]
    assert damage(tmp_path / "epoch_1.pth") is None
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "epoch_1.pth")


def test_older_ones_are_removed_and_what_a_kill_left_too(tmp_path, monkeypatch):
    options = loader(), EPOCHS, dict(interval=1, max_keep_ckpts=1)
    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointHook, "_remove_step", lambda self, step: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # killed before it could remove
            toy_run(tmp_path, *options)
    (tmp_path / ".epoch_3.pth.123.part").write_bytes(b"cut off")
    assert {"epoch_1.pth", "epoch_2.pth"} < {*names(tmp_path)}
    toy_run(tmp_path, *options, resume=True)
    assert [n for n in names(tmp_path) if "pth" in n] == ["epoch_3.pth"]


def test_the_best_one_is_removed_after_the_new_one_is_complete(tmp_path, monkeypatch):
    options = dict(interval=1, save_best="acc", rule="greater")
    # Files: epoch 1, best, epoch 1 again (with the score), epoch 2, best.
    failing_fsync(monkeypatch, 5)
    with pytest.raises(OSError, match="No space left"):
        toy_run(tmp_path, loader(), EPOCHS, options, validate=True)
    assert "best_acc_epoch_1.pth" in names(tmp_path)
    monkeypatch.undo()
    toy_run(tmp_path, loader(), EPOCHS, options, validate=True, resume=True)
    assert [n for n in names(tmp_path) if "best" in n] == ["best_acc_epoch_3.pth"]


ENDLESS = "InfiniteSampler"
CASES = {
    "epochs": (loader(), EPOCHS, (), True),
    "epochs, workers": (loader(2), EPOCHS, (), True),
    "epochs, persistent workers": (loader(2, True), EPOCHS, SEEDS, True),
    "iterations": (loader(0, False, ENDLESS), ITERATIONS, SEEDS, False),
    "iterations, workers": (
        loader(2, True, ENDLESS),
        ITERATIONS,
        SEEDS,
        False,
    ),
    "iterations, passes": (loader(2), ITERATIONS, SEEDS, False),
}


@pytest.mark.parametrize("case", CASES)
def test_resumed_runs_see_the_same_and_end_the_same(case, tmp_path):
    train, train_cfg, hooks, by_epoch = CASES[case]
    checkpoint = dict(interval=1 if by_epoch else 3, by_epoch=by_epoch)
    options = dict(hooks=hooks, validate=True)
    full = toy_run(tmp_path / "full", train, train_cfg, checkpoint, **options)
    stop = dict(options, stop_at=9)
    first = toy_run(tmp_path / "parts", train, train_cfg, checkpoint, **stop)
    assert first.model.stopped
    rest = toy_run(
        tmp_path / "parts", train, train_cfg, checkpoint, **options, resume=True
    )
    again = len(rest.model.seen)
    assert 0 < again < len(full.model.seen)
    for one, two in zip(full.model.seen[-again:], rest.model.seen, strict=True):
        assert torch.equal(one, two)
    for name, tensor in full.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[name])


@pytest.mark.slow
def test_the_number_of_workers_makes_no_difference(tmp_path):
    seen = []
    for workers in (0, 2):
        train = loader(workers, persistent=workers == 2)
        run = toy_run(tmp_path, train, EPOCHS, dict(interval=9), hooks=SEEDS)
        seen.append(torch.stack(run.model.seen))
    assert torch.equal(seen[0], seen[1])
    assert len({x.item() for x in seen[0][..., 1].flatten()}) == seen[0][..., 1].numel()


@pytest.mark.slow
def test_a_validation_that_was_killed_is_repeated(tmp_path, monkeypatch):
    Score.calls.clear()
    options = dict(interval=1, save_best="acc", rule="greater", max_keep_ckpts=1)
    with monkeypatch.context() as patch:
        patch.setattr(Score, "compute_metrics", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            toy_run(tmp_path, loader(), EPOCHS, options, validate=True)
    assert "best_acc_epoch_1.pth" not in names(tmp_path)
    short = dict(EPOCHS, max_epochs=1)
    more = dict(validate=True, resume=True, cfg=dict(resume_schedule="rebuild"))
    toy_run(tmp_path, loader(), short, options, **more)
    assert {"best_acc_epoch_1.pth", "epoch_1.pth"} < {*names(tmp_path)}
    assert len(Score.calls) == 1
    toy_run(tmp_path, loader(), short, options, validate=True, resume=True)
    assert len(Score.calls) == 1, "the checkpoint records its validation"


def test_within_an_epoch_is_refused_when_resuming(tmp_path):
    options = loader(), EPOCHS, dict(interval=3, by_epoch=False)
    toy_run(tmp_path, *options, stop_at=5)
    assert "iter_3.pth" in names(tmp_path)
    with pytest.raises(CheckpointError, match=r"iteration 3\b.*by_epoch=True"):
        toy_run(tmp_path, *options, resume=True)


def test_a_resume_that_is_not_bit_identical_is_reported(tmp_path, monkeypatch):
    train = loader(0, False, ENDLESS)
    options = train, ITERATIONS, dict(interval=3, by_epoch=False)
    toy_run(tmp_path, *options, stop_at=5)
    with monkeypatch.context() as patch:
        said = []
        patch.setattr(
            "mmengine.logging.MMLogger.warning", lambda _, text: said.append(text)
        )
        toy_run(tmp_path, *options, resume=True)
        assert any("IterationSeedHook" in text for text in said)
        said.clear()
        toy_run(tmp_path / "b", *options, hooks=SEEDS, stop_at=5)
        toy_run(tmp_path / "b", *options, hooks=SEEDS, resume=True)
        assert not any("IterationSeedHook" in text for text in said)


def test_noise_is_noise():
    assert not torch.equal(Noise()[0]["inputs"], Noise()[0]["inputs"])
