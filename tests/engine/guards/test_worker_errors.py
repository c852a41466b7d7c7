"""Messages for workers that die or raise, and files that vanish during training."""

import errno
import gc
import multiprocessing
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from torch._utils import ExceptionWrapper

from snnssl_mm.datasets.data_error import DataError
from snnssl_mm.engine.guards.worker_errors import cause, explain_errors
from snnssl_mm.registry import TRANSFORMS

RESUME = r"epoch_1\.pth.*train.*--resume.*epoch_1\.pth"
"""The last good checkpoint, and the command that resumes from it."""


@TRANSFORMS.register_module()
class Fault(BaseTransform):
    """Transform that fails at one sample of the second epoch."""

    def __init__(self, kind, work_dir):
        self.kind, self.work_dir = kind, Path(work_dir)

    def transform(self, results):
        if results["sample_idx"] == 20 and (self.work_dir / "epoch_1.pth").exists():
            if self.kind == "raise":
                raise ZeroDivisionError("a fault of the transform")
            if self.kind == "lose":
                Path(results["img_path"]).write_bytes(b"no image")
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        return results


@pytest.fixture
def train(run_tool, tiny_config, tmp_path):
    """Train the tiny job with a fault in its pipeline, without evaluation."""

    def run(kind, place=1, **loader):
        cfg = Config.fromfile(tiny_config)
        cfg.eval_train_dataloader = cfg.eval_test_dataloader = None
        cfg.train_dataloader.update(loader)
        if cfg.train_dataloader.persistent_workers:
            cfg.default_hooks.seeds = None
        fault = dict(type="snnssl_mm.Fault", kind=kind, work_dir=str(tmp_path / "run"))
        cfg.train_dataloader.dataset.pipeline.insert(place, fault)
        cfg.dump(tiny_config)
        run_tool("train", tiny_config, "--work-dir", tmp_path / "run")

    return run


@pytest.mark.parametrize(
    "persistent", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_killed_worker_ends_the_run_with_cause_fix_and_checkpoint(
    train, persistent, tmp_path
):
    options = dict(num_workers=2, persistent_workers=persistent, prefetch_factor=3)
    with pytest.raises(SystemExit) as stop:
        train("kill", **options)
    message = str(stop.value.code)  # a text, so the status is 1
    assert re.match(r"error: DataLoader worker \(pid.* \d+\) ", message)
    for setting in ("num_workers (2)", "prefetch_factor (3)", "batch_size (16)"):
        assert setting in message
    assert re.search(RESUME, message)
    (log,) = tmp_path.glob("run/*/*.log")
    assert message.removeprefix("error: ") in log.read_text()
    del stop  # its traceback refers to the loader, which refers to the other worker
    gc.collect()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_error_of_a_transform_keeps_its_traceback_and_names_the_worker(train):
    with pytest.raises(ZeroDivisionError, match="a fault of the transform") as error:
        train("raise", num_workers=1)
    (note,) = error.value.__notes__
    assert note.startswith("ZeroDivisionError")
    assert "num_workers=0" in note
    assert re.search(RESUME, note)


def test_image_that_became_unreadable_is_named(train, tiny_config, tmp_path):
    from snnssl_mm.datasets.digit_scenes import generate_digit_scenes

    cfg = Config.fromfile(tiny_config)
    dataset = cfg.train_dataloader.dataset
    root = (
        generate_digit_scenes(tmp_path / "scenes", num_train=64, num_test=10) / "train"
    )
    load = dict(type="snnssl_mm.LoadIntactImage")
    folder = dict(type="snnssl_mm.ImageFolder", data_root=str(root), verify=None)
    cfg.train_dataloader.dataset = dict(pipeline=[load, *dataset.pipeline], **folder)
    cfg.dump(tiny_config)
    with pytest.raises(SystemExit) as stop:
        train("lose", place=0, num_workers=1)
    (lost,) = (file for file in root.glob("*/*") if file.read_bytes() == b"no image")
    message = str(stop.value.code)
    assert message.startswith("error: ")
    assert str(lost) in message
    assert "Traceback" not in message
    assert re.search(RESUME, message)


def from_worker(error):
    """Return the error as torch raises it in the main process."""
    try:
        raise error
    except type(error):
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(Exception, match="DataLoader worker") as raised:
        wrapper.reraise()
    return raised.value


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            from_worker(
                RuntimeError("unable to mmap 8 bytes from file </torch_1_2_0>")
            ),
            "/dev/shm.*shm-size",
        ),
        (
            from_worker(FileNotFoundError(errno.ENOENT, "No such file", "a.jpg")),
            r"^\[Errno 2\] No such file: 'a.jpg'$",
        ),
        (from_worker(DataError("a.png has the label 9")), "^a.png has the label 9$"),
        (DataError("a.png has\nthe label 9"), "^a.png has\nthe label 9$"),
    ],
)
def test_cause_is_the_data(error, message):
    assert re.search(message, cause(error, {}))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),  # a checkpoint's
        FileNotFoundError(errno.ENOENT, "No such file", "/dev/shm/config.py"),
    ],
)
def test_other_errors_pass_with_a_note(error, tmp_path):
    assert cause(error, {}) is None
    cfg = Config(dict(train_dataloader=None))
    runner = SimpleNamespace(cfg=cfg, work_dir=str(tmp_path))
    with pytest.raises(type(error)) as raised, explain_errors(runner):
        raise error
    assert raised.value is error
    assert str(tmp_path) in error.__notes__[-1]
