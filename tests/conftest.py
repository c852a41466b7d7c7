"""Fixtures of the tests of commands, hooks and configs: a job of a few seconds."""

# ruff: noqa: E402
from snnssl_mm import compat

compat.apply()  # before any module that it patches is imported

import ast
import contextvars
import gc
import multiprocessing
import sys
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from downstream import (  # noqa: F401  (fixtures)
    classifier_cfg,
    detection_batch,
    detector_cfg,
    segmentation_batch,
    segmentor_cfg,
)
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmengine_state import forget_runs
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter
from yapf.yapflib import yapf_api

from snnssl_mm.cli.main import main
from snnssl_mm.recording.command import PROGRAM

hypothesis.settings.register_profile(
    "suite", max_examples=12, derandomize=True, database=None, deadline=None
)
hypothesis.settings.register_profile(
    "soak", max_examples=600, deadline=None, print_blob=True
)  # pytest --hypothesis-profile=soak
hypothesis.settings.load_profile("suite")

ROOT = Path(__file__).parents[1]
MAIN_JOB = ROOT / "configs" / "selfsup" / "spikformer_ctl.py"


def pytest_collection_finish():
    """Exempt what was imported from every later garbage collection.

    mmengine collects after building a dataset: half a second for each otherwise.
    """
    gc.freeze()


def checked(text, **_):
    """Return a config's text as it is, if it is Python."""
    compile(text, "config", "exec", ast.PyCF_ONLY_AST)
    return text + "\n", True


# mmengine formats a config neatly four times a training: a second in all.
yapf_api.FormatCode = checked


@pytest.fixture(autouse=True)
def no_state_of_an_earlier_test():
    """Reset mmengine's global objects, so that tests do not depend on their order."""
    yield
    DefaultScope._instance_dict.clear()
    forget_runs()


@pytest.fixture(autouse=True)
def no_workers_of_an_earlier_test():
    """End the data loader workers of trainings that a test stopped.

    The garbage collector ends them, too, but waits 5 s for each.
    """
    yield
    if multiprocessing.active_children():
        for found in gc.get_objects():
            if type(found) is _MultiProcessingDataLoaderIter:
                found._shutdown_workers()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Folder for 64 training and 32 test scenes, generated once."""
    return tmp_path_factory.mktemp("data") / "scenes"


def shrinking(scenes):
    """Overrides that shrink the main job to a second an epoch."""
    options = {
        "model.backbone.arch": dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1),
        "model.neck.in_channels": 16,
        "model.neck.hid_channels": 16,
        "model.neck.out_channels": 8,
        "train_cfg.max_epochs": 2,
        "train_dataloader.batch_size": 16,
        "default_hooks.logger.interval": 1,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.path_schedule": None,  # spikes in every epoch
    }
    for name in ("train_dataloader", "eval_train_dataloader", "eval_test_dataloader"):
        options |= {
            f"{name}.dataset.data_root": str(scenes),
            f"{name}.dataset.num_train": 64,
            f"{name}.dataset.num_test": 32,
        }
    return options


@pytest.fixture
def tiny_options(scenes):
    """Overrides that shrink the main job to a second an epoch."""
    return shrinking(scenes)


@pytest.fixture(scope="session")
def write_tiny_config(scenes):
    """Write the main job, shrunk, as a config file."""

    def write(file):
        cfg = Config.fromfile(MAIN_JOB)
        cfg.merge_from_dict(shrinking(scenes))
        cfg.dump(file)
        return file

    return write


@pytest.fixture
def tiny_config(write_tiny_config, tmp_path):
    """The main job, shrunk, as a config file."""
    return write_tiny_config(tmp_path / "tiny.py")


@pytest.fixture(scope="session")
def run_tool():
    """Run a subcommand of ``snnssl`` as from the command line, in this process."""

    def run(command, *arguments):
        forget_runs()
        words = [*command.split(), *map(str, arguments)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["snnssl", *words])
            try:
                contextvars.copy_context().run(main)
            finally:
                PROGRAM.clear()  # this run's, not the next's

    return run


@pytest.fixture(scope="session")
def task(tmp_path_factory):
    """Config file, checkpoint of random weights and images of a downstream task."""
    import torch
    from downstream_tasks import TASKS, write_config, write_scenes

    from snnssl_mm.probing import build_eval_model

    made = {}

    def make(name):
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            write_scenes(root)
            config = write_config(root / f"{name}.py", TASKS[name](root))
            torch.manual_seed(0)
            model = build_eval_model(Config.fromfile(config))
            checkpoint = root / "random.pth"
            torch.save({"state_dict": model.state_dict(), "meta": {}}, checkpoint)
            made[name] = SimpleNamespace(
                root=root, config=config, checkpoint=checkpoint, images=root / "images"
            )
        return made[name]

    return make


@pytest.fixture
def weights(tmp_path):
    """Return a function that writes random weights of a config's backbone."""

    def write(config, seed=0, name="ctl"):
        import torch

        from snnssl_mm.checks.config.build import build_unfilled

        torch.manual_seed(seed)
        cfg = Config.fromfile(config)
        init_default_scope(cfg.default_scope)
        model, problems = build_unfilled(cfg)
        assert not problems
        state = {
            f"backbone.{key}": torch.rand(value.shape)
            for key, value in model.backbone.state_dict().items()
        }
        file = tmp_path / f"{name}{seed}.pth"
        torch.save({"state_dict": state, "meta": {}}, file)
        return file

    return write


@pytest.fixture(scope="session")
def cluster():
    """A real Slurm cluster of one node, without GPUs."""
    from slurm_cluster import SlurmUnavailableError, slurm_cluster

    try:
        with slurm_cluster() as running:
            yield running
    except SlurmUnavailableError as error:
        pytest.skip(str(error))
