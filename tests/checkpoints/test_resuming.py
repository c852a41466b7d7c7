"""The last intact checkpoint is found whatever last_checkpoint names."""

import os

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.checkpoints import resuming
from snnssl_mm.checkpoints.resuming import (
    CheckpointError,
    last_intact_checkpoint,
    prepare_resume,
)

STATE = {"meta": {"seed": 7}, "optimizer": {}, "message_hub": {}}


@pytest.fixture
def folder(tmp_path):
    """Work directory with three checkpoints, epoch 9 before 10, and a best one."""
    names = ("epoch_8.pth", "epoch_9.pth", "epoch_10.pth", "best_acc_epoch_11.pth")
    for time, name in enumerate(names):
        weights = {"state_dict": {"weight": torch.arange(1000.0)}}
        torch.save(weights | ({} if "best" in name else STATE), tmp_path / name)
        os.utime(tmp_path / name, (time, time))
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_10.pth"))
    return tmp_path


@pytest.fixture
def logged(monkeypatch):
    texts = []
    monkeypatch.setattr(resuming, "print_log", lambda text, *_: texts.append(text))
    return texts


def cut_off(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # in the tensor: torch.load does not see it
    file.write_bytes(content)
    torch.load(file)


def test_an_intact_last_checkpoint_is_used_without_a_warning(folder, logged):
    assert last_intact_checkpoint(str(folder)) == str(folder / "epoch_10.pth")
    assert logged == []


NOTES = {
    "missing": (None, "last_checkpoint"),
    "empty": ("", "last_checkpoint"),
    "elsewhere": ("/nowhere/epoch_3.pth", "/nowhere/epoch_3.pth"),
    "stale": ("epoch_9.pth", "epoch_9.pth"),
}


@pytest.mark.parametrize("case", NOTES)
def test_a_wrong_last_checkpoint_file_is_reported(folder, logged, case, monkeypatch):
    monkeypatch.chdir(folder)
    text, named = NOTES[case]
    note = folder / "last_checkpoint"
    note.unlink() if text is None else note.write_text(text)
    assert last_intact_checkpoint(str(folder)) == str(folder / "epoch_10.pth")
    (warning,) = logged
    assert str(folder / "epoch_10.pth") in warning
    assert named in warning


def test_a_copied_folder_resumes_from_the_same_checkpoint(folder, logged, tmp_path):
    """Copying loses the times and changes the path that last_checkpoint has."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for time, name in enumerate(("epoch_10.pth", "epoch_8.pth", "epoch_9.pth")):
        (folder / name).rename(copy / name)
        os.utime(copy / name, (time, time))
    (folder / "last_checkpoint").rename(copy / "last_checkpoint")
    assert last_intact_checkpoint(str(copy)) == str(copy / "epoch_10.pth")
    cut_off(copy / "epoch_10.pth")
    assert last_intact_checkpoint(str(copy)) == str(copy / "epoch_9.pth")


def test_files_of_an_earlier_run_are_not_later(folder, logged):
    new = folder / "epoch_1.pth"
    torch.save({"state_dict": {}, **STATE}, new)  # now: newer than the others
    (folder / "last_checkpoint").write_text(str(new))
    assert last_intact_checkpoint(str(folder)) == str(new)
    assert logged == []


@pytest.mark.parametrize("damage", [cut_off, flip_a_bit, lambda f: f.write_bytes(b"")])
def test_a_damaged_checkpoint_is_skipped_and_reported(folder, logged, damage):
    damage(folder / "epoch_10.pth")
    assert last_intact_checkpoint(str(folder)) == str(folder / "epoch_9.pth")
    (warning,) = logged
    assert "epoch_10.pth" in warning
    damage(folder / "epoch_9.pth")
    damage(folder / "epoch_8.pth")
    with pytest.raises(CheckpointError) as caught:
        last_intact_checkpoint(str(folder))
    assert all(f"epoch_{n}.pth" in str(caught.value) for n in (8, 9, 10))


def test_without_checkpoints_training_starts_from_the_beginning(tmp_path, logged):
    cfg = Config(dict(resume=True, work_dir=str(tmp_path / "new")))
    prepare_resume(cfg)
    assert (cfg.resume, cfg.load_from) == (False, None)
    assert str(tmp_path / "new") in logged[0]


def test_the_seed_of_the_interrupted_run_is_taken_if_there_is_none(folder):
    cfg = Config(dict(resume=True, work_dir=str(folder)))
    prepare_resume(cfg)
    assert cfg.randomness.seed == 7
    cfg = Config(dict(resume=True, work_dir=str(folder), randomness=dict(seed=3)))
    prepare_resume(cfg)
    assert cfg.randomness.seed == 3


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("best_acc_epoch_11.pth", None, "meta.*optimizer.*message_hub"),
        ("epoch_9.pth", flip_a_bit, r"epoch_9\.pth.*--resume"),
        ("epoch_9.pth", cut_off, r"epoch_9\.pth"),
    ],
)
def test_an_unusable_checkpoint_given_by_its_path_is_refused(
    folder, name, harm, message
):
    if harm:
        harm(folder / name)
    cfg = Config(dict(resume=True, load_from=str(folder / name), work_dir=""))
    with pytest.raises(ValueError, match=message):
        prepare_resume(cfg)


def test_a_config_that_does_not_resume_is_not_changed():
    cfg = Config(dict(load_from="pretrained.pth", work_dir=""))
    prepare_resume(cfg)
    assert cfg.load_from == "pretrained.pth"
