"""The last whole checkpoint is found whatever last_checkpoint says."""

import os
import re

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.checkpoints import resuming
from snnssl_mm.checkpoints.resuming import (
    CheckpointError,
    last_whole_checkpoint,
    resume_from_whole,
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
def said(monkeypatch):
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


def test_a_good_one_is_taken_without_a_word(folder, said):
    assert last_whole_checkpoint(str(folder)) == str(folder / "epoch_10.pth")
    assert said == []


NOTES = {
    "missing": (None, "there is no .*last_checkpoint"),
    "empty": ("", "last_checkpoint is empty"),
    "elsewhere": ("/nowhere/epoch_3.pth", "/nowhere/epoch_3.pth, which does not exist"),
    "stale": ("epoch_9.pth", "epoch_9.pth, which is older"),
}


@pytest.mark.parametrize("case", NOTES)
def test_a_wrong_note_is_said(folder, said, case, monkeypatch):
    monkeypatch.chdir(folder)
    text, message = NOTES[case]
    note = folder / "last_checkpoint"
    note.unlink() if text is None else note.write_text(text)
    assert last_whole_checkpoint(str(folder)) == str(folder / "epoch_10.pth")
    (warning,) = said
    assert warning.startswith(f"resuming from {folder / 'epoch_10.pth'}")
    assert re.search(message, warning)


@pytest.mark.parametrize("damage", [cut_off, flip_a_bit, lambda f: f.write_bytes(b"")])
def test_a_damaged_one_is_passed_over_and_said(folder, said, damage):
    damage(folder / "epoch_10.pth")
    assert last_whole_checkpoint(str(folder)) == str(folder / "epoch_9.pth")
    (warning,) = said
    assert "epoch_10.pth is damaged (" in warning
    damage(folder / "epoch_9.pth")
    damage(folder / "epoch_8.pth")
    with pytest.raises(CheckpointError, match="no checkpoint in .* is whole"):
        last_whole_checkpoint(str(folder))


def test_without_any_training_starts_from_the_beginning(tmp_path, said):
    cfg = Config(dict(resume=True, work_dir=str(tmp_path / "new")))
    resume_from_whole(cfg)
    assert (cfg.resume, cfg.load_from) == (False, None)
    assert "starts from the beginning" in said[0]


def test_the_seed_of_the_interrupted_run_is_taken_if_there_is_none(folder):
    cfg = Config(dict(resume=True, work_dir=str(folder)))
    resume_from_whole(cfg)
    assert cfg.randomness.seed == 7
    cfg = Config(dict(resume=True, work_dir=str(folder), randomness=dict(seed=3)))
    resume_from_whole(cfg)
    assert cfg.randomness.seed == 3


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("best_acc_epoch_11.pth", None, "has no meta and no optimizer and no message"),
        ("epoch_9.pth", flip_a_bit, "epoch_9.pth is damaged .*--resume without a path"),
        ("epoch_9.pth", cut_off, "epoch_9.pth cannot be read as a checkpoint"),
    ],
)
def test_an_unfit_one_that_was_asked_for_is_refused(folder, name, harm, message):
    if harm:
        harm(folder / name)
    cfg = Config(dict(resume=True, load_from=str(folder / name), work_dir=""))
    with pytest.raises(ValueError, match=message):
        resume_from_whole(cfg)


def test_a_config_that_does_not_resume_is_left_alone():
    cfg = Config(dict(load_from="pretrained.pth", work_dir=""))
    resume_from_whole(cfg)
    assert cfg.load_from == "pretrained.pth"
