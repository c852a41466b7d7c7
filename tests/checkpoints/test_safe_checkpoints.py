"""Checkpoints that would execute code are refused wherever they are read."""

import argparse
import contextlib
import datetime
import functools
import re
import shutil
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path, PureWindowsPath
from types import ModuleType, SimpleNamespace

import addict
import numpy as np
import pytest
import torch
from hostile_files import Evaluated, Hostile, hostile_content, saved, variants
from mmengine.config import Config, ConfigDict
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from snnssl_mm import apis
from snnssl_mm.apis.inference import class_meta
from snnssl_mm.checkpoints import loading as checkpoints
from snnssl_mm.checkpoints import reading, zoo
from snnssl_mm.checkpoints.loading import UnsafeCheckpointError, checkpoint_code_may_run
from snnssl_mm.cli.main import COMMANDS, command_module
from snnssl_mm.probing import build_eval_model
from snnssl_mm.probing.feature_cache import CachedBackbone

REFUSED = r".*posix\.mkdir.*--trust-checkpoint.*checkpoint_code_may_run"
"""What was found in the file, and the two ways to trust it."""


@pytest.fixture
def job(tiny_config, tmp_path, run_tool, task):
    """A job, a hostile checkpoint, and the folder that its code would make."""
    made, file = tmp_path / "made by the checkpoint", tmp_path / "hostile.pth"
    torch.save(hostile_content(made), file)
    note = tmp_path / "run" / "last_checkpoint"
    note.parent.mkdir()
    note.write_text(str(file))
    return SimpleNamespace(
        file=str(file),
        made=made,
        config=tiny_config,
        folder=tmp_path,
        run=run_tool,
        task=task,
    )


def initialised(job, **init_cfg):
    """Initialise a model with weights given by ``init_cfg``."""
    cfg = Config.fromfile(job.config)
    cfg.model.backbone.init_cfg = dict(checkpoint=job.file, **init_cfg)
    build_eval_model(cfg).init_weights()


def from_network(job):
    """Read a checkpoint by URL as mmengine does; a copy stands for the download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(job.folder / "torch"))
        download = lambda url, to, **_: shutil.copy(job.file, to)  # noqa: E731
        patch.setattr(torch.hub, "download_url_to_file", download)
        checkpoints.read_checkpoint("https://nowhere.invalid/a/hostile.pth")


CALLS = {
    "read_checkpoint": lambda job: checkpoints.read_checkpoint(job.file),
    "load_backbone": lambda job: checkpoints.load_backbone(nn.Linear(1, 1), job.file),
    "load_full_model": lambda job: checkpoints.load_full_model(
        nn.Linear(1, 1), job.file
    ),
    "api": lambda job: apis.load_model(str(job.config), job.file),
    "mmpretrain": lambda job: apis.get_model(str(job.config), pretrained=job.file),
    "classes": lambda job: class_meta(Config.fromfile(job.config), job.file),
    "mmengine": lambda job: load_checkpoint(nn.Linear(1, 1), job.file),
    "mmengine's scheme": lambda job: CheckpointLoader.load_checkpoint(job.file),
    "URL": from_network,
    "BackboneInit": lambda job: initialised(job, type="snnssl_mm.BackboneInit"),
    "Pretrained": lambda job: initialised(job, type="Pretrained", prefix="backbone."),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_code_runs_only_where_it_is_trusted(job, call):
    with pytest.raises(UnsafeCheckpointError, match=REFUSED):
        call(job)
    assert not job.made.exists()
    misfit = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
    with checkpoint_code_may_run(), contextlib.suppress(misfit):
        call(job)
    assert job.made.is_dir()  # this check can fail


ARGUMENTS = {
    "train": ["{config}", "--work-dir", "{folder}/run", "--pretrained", "{file}"],
    "train, resumed": ["{config}", "--work-dir", "{folder}/run", "--resume={file}"],
    "train, resumed by itself": ["{config}", "--work-dir", "{folder}/run", "--resume"],
    "train, by config": [
        *("{config}", "--work-dir", "{folder}/run"),
        *("--cfg-options", "load_from={file}"),
    ],
    "convert": ["{file}", "{folder}/out.pth"],
    "zoo get": ["sew-resnet-18_official_in1k", "--file", "{file}"],
    "zoo publish": ["{file}", "name", "--out-dir", "{folder}"],
    "report": ["{file}", "--config", "{config}", "--out", "{folder}"],
    "draw predictions": ["a={segmentor},{file}"],
    "export": ["{config}", "{file}", "--format", "nir", "--out", "{folder}/x.nir"],
    "infer": ["{classifier}", "{file}", "{images}", "--out-dir", "{folder}"],
    "transfer": ["{file}", "--tasks", "knn", "--work-dir", "{folder}/runs"],
}
"""Arguments of commands that take more than config, checkpoint, image and --out."""


def leaves(name, parser):
    """Yield names and parsers of a subcommand, or of its kinds."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for kind, below in action.choices.items():
                yield from leaves(f"{name} {kind}", below)
            return
    yield name, parser


def commands_with_checkpoints():
    """Return all subcommands that read a checkpoint, with their arguments."""
    found = {}
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        command_module(command).add_arguments(parser)
        for name, leaf in leaves(command, parser):
            taken = {action.dest for action in leaf._actions}
            if taken & {"checkpoint", "pretrained", "trust_checkpoint"}:
                out = "out.png" if command == "draw" else "out"
                found[name] = ["{config}", "{file}"]
                found[name] += ["{folder}/no.png"] if "image" in taken else []
                found[name] += ["--out", f"{{folder}}/{out}"] if "out" in taken else []
    assert len(found) > 12
    return found | ARGUMENTS


PROGRAMS = commands_with_checkpoints()


@pytest.mark.parametrize("name", PROGRAMS)
def test_commands_refuse_code_unless_told_to_trust(job, name):
    classification = job.task("classification")
    names = dict(
        config=job.config,
        file=job.file,
        folder=job.folder,
        classifier=classification.config,
        segmentor=job.task("segmentation").config,
        images=classification.images,
    )
    arguments = [argument.format(**names) for argument in PROGRAMS[name]]
    command = name.partition(",")[0]
    with pytest.raises(SystemExit, match=rf"error: .*hostile\.pth{REFUSED}"):
        job.run(command, *arguments)
    assert not job.made.exists()
    with pytest.raises((SystemExit, ValueError, TypeError, KeyError)):  # does not fit
        job.run(command, *arguments, "--trust-checkpoint")
    assert job.made.is_dir()
    with pytest.raises(UnsafeCheckpointError):  # the flag is that run's alone
        checkpoints.read_checkpoint(job.file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("kind", variants(Path()))
def test_every_way_to_hide_code_is_refused(tmp_path, kind):
    file = tmp_path / "file.pth"
    file.write_bytes(variants(tmp_path / "made")[kind])
    with pytest.raises(ValueError, match=r"file\.pth"):
        checkpoints.read_checkpoint(str(file))
    assert not (tmp_path / "made").exists()
    if kind not in ("attribute", "bare pickle, protocol 4"):
        with checkpoint_code_may_run(), contextlib.suppress(ValueError):
            checkpoints.read_checkpoint(str(file))
        assert (tmp_path / "made").is_dir()


class Settings(argparse.Namespace):
    """A class of a training script, whose construction may run any code."""


def settings_of_a_script():
    """Values that training scripts of other projects store besides the tensors."""
    counts = defaultdict(list, a=[1])
    return argparse.Namespace(
        lr=0.1,
        optimizer=argparse.Namespace(betas=(0.9, 0.999), name=None),
        data=Path("/data") / "imagenet",
        other_system=PureWindowsPath("data"),
        devices={torch.device("cpu")},
        classes=frozenset(("a", "b")),
        epochs=range(3),
        dtype=torch.float16,
        size=torch.Size([1, 2]),
        best=np.float64(0.5),
        name=np.str_("a"),
        kind=np.dtype("float32"),
        started=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        took=datetime.timedelta(hours=1),
        counts=counts,
        more=addict.Dict(a=dict(b=1)),
        config=ConfigDict(a=dict(b=1)),
        simple=SimpleNamespace(text=b"\xff", complex=1j),
        cast=float,
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_settings_of_a_script_are_plain_data(tmp_path, zipped):
    file, args = tmp_path / "file.pth", settings_of_a_script()
    content = {"state_dict": {"weight": torch.ones(1)}, "args": args}
    file.write_bytes(saved(content, _use_new_zipfile_serialization=zipped))
    found = checkpoints.read_checkpoint(str(file))["args"]
    assert found == args
    assert type(found) is argparse.Namespace
    assert type(found.data) is type(args.data)
    for name in ("counts", "more", "config"):  # without their classes' code
        assert type(getattr(found, name)) is OrderedDict


HIDDEN = {
    "object": lambda made: Hostile(made),
    "text": lambda made: Evaluated(made),
    "function": lambda made: torch.hub.load,
    "of this library": lambda made: torch.nn.functional.relu,
    "method": lambda made: {}.update,
    "class": lambda made: Settings(lr=1),
    "module": lambda made: nn.Linear(1, 1),
    "partial": lambda made: functools.partial(print, made),
}


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize(
    "container",
    [
        lambda one: argparse.Namespace(a=one),
        lambda one: argparse.Namespace(a=argparse.Namespace(b=[{"c": one}])),
        lambda one: SimpleNamespace(a=one),
        lambda one: defaultdict(list, a=(one,)),
        lambda one: addict.Dict(a=one),
    ],
)
def test_nothing_but_data_is_let_in_with_settings(tmp_path, kind, container):
    file, made = tmp_path / "file.pth", tmp_path / "made"
    torch.save({"state_dict": {}, "args": container(HIDDEN[kind](made))}, file)
    with pytest.raises(UnsafeCheckpointError):
        checkpoints.read_checkpoint(str(file))
    assert not made.exists()


def test_an_odd_checkpoint_is_let_in_if_trusted(tmp_path):
    file, odd = tmp_path / "odd.pth", Settings(lr=0.1)
    torch.save({"model": {"weight": torch.ones(1)}, "args": odd}, file)
    with pytest.raises(UnsafeCheckpointError, match=r"\.Settings\b"):
        checkpoints.read_checkpoint(str(file))
    with checkpoint_code_may_run():
        assert checkpoints.read_checkpoint(str(file))["args"] == odd
    with pytest.raises(UnsafeCheckpointError):
        checkpoints.read_checkpoint(str(file))


LIBRARIES = [n for n in reading.READ_AS_DICT if not n.startswith("collections.")]


@pytest.mark.parametrize("name", LIBRARIES)
def test_dicts_of_training_libraries_are_read_without_them(tmp_path, monkeypatch, name):
    *parts, kind = name.split(".")
    for number in range(1, len(parts) + 1):
        module = ".".join(parts[:number])
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    made = type(kind, (dict,), dict(__module__=module))
    setattr(sys.modules[module], kind, made)
    torch.save({"hyper_parameters": made(lr=1.0)}, tmp_path / "file.pth")
    monkeypatch.undo()
    found = checkpoints.read_checkpoint(tmp_path / "file.pth")
    assert found["hyper_parameters"] == dict(lr=1.0)


def test_text_that_mmengine_would_run_when_resuming_is_left_out(tmp_path):
    file, made = tmp_path / "file.pth", tmp_path / "made"
    meta = {"config": f"import os\nos.mkdir({str(made)!r})", "epoch": 1}
    torch.save({"state_dict": {}, "meta": meta}, file)
    with pytest.warns(UserWarning, match=r"file\.pth.*meta\['config'\]"):
        assert checkpoints.read_checkpoint(str(file))["meta"] == {"epoch": 1}
    with checkpoint_code_may_run():
        assert checkpoints.read_checkpoint(str(file))["meta"] == meta


def test_the_cache_of_features_is_never_trusted(tmp_path, job):
    cache = SimpleNamespace(
        backbone_file=lambda: Path(job.file), file=lambda name: tmp_path / name
    )
    with checkpoint_code_may_run():
        with pytest.raises(ValueError, match=r"hostile\.pth"):
            CachedBackbone.stored_backbone(cache)
        np.savez(tmp_path / "train.npz", features=np.array([object()]))
        with pytest.raises(ValueError, match=r"train\.npz"):
            CachedBackbone.split(cache, "train")
        (tmp_path / "train.npz").write_bytes(b"PK\3\4 cut off")
        with pytest.raises(ValueError, match=r"train\.npz"):
            CachedBackbone.split(cache, "train")
    assert not job.made.exists()


def test_a_replaced_file_of_the_zoo_is_refused(job, monkeypatch):
    name = zoo.names_with_weights()[0]
    file = zoo.entries()[name].file
    monkeypatch.setattr(zoo, "SHIPPED", job.folder)
    shutil.copy(job.file, job.folder / file)
    with checkpoint_code_may_run(), pytest.raises(ValueError, match=re.escape(file)):
        CheckpointLoader.load_checkpoint(zoo.SCHEME + name)
    assert not job.made.exists()


def test_checkpoints_of_numpy_1_are_read(tmp_path):
    """numpy 2 has other names for the same functions."""
    log, file = {"loss": np.float64(0.5), "all": np.ones(2)}, tmp_path / "file.pth"
    new = saved(log, _use_new_zipfile_serialization=False)
    old = new.replace(b"numpy._core.multi", b"numpy.core.multi")
    assert old != new
    for content in (old, new):
        file.write_bytes(content)
        found = reading.load(file)
        assert found["loss"] == 0.5
        assert found["all"].tolist() == [1, 1]
