"""Every self-supervised config loads, builds, and trains on stand-in data."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

import snnssl_mm  # noqa: F401

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs" / "selfsup"
SHIPPED = sorted(FOLDER.glob("*.py"))
CONFIGS = [*SHIPPED, *sorted(ROOT.glob("benchmarks/configs/*.py"))]
SIZE = 32


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """Six images in two classes: data_root/{train,test}/<class>/*.png."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(12):
        split, name = ("train", "test")[index % 2], "ab"[index % 3 > 0]
        file = root / split / name / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (40, 36, 3), np.uint8)
        cv2.imwrite(str(file), image)
    return root


def shrink_crops(pipeline):
    """Replace the sizes of crops by SIZE, in place, at any depth."""
    for transform in pipeline:
        if isinstance(transform, list):
            shrink_crops(transform)
            continue
        for key in ("scale", "crop_size"):
            if key in transform:
                transform[key] = SIZE
        shrink_crops(transform.get("transforms", []))


def with_stand_in_data(cfg, image_folder):
    """Keep the config's pipelines; take the images from ``image_folder``."""
    for name in ("train_dataloader", "eval_train_dataloader", "eval_test_dataloader"):
        loader = cfg[name]
        loader.num_workers = 0
        loader.batch_size = 2
        loader.pop("persistent_workers", None)
        loader.pop("pin_memory", None)
        pipeline = loader.dataset.pipeline
        if pipeline[0].type in ("MultiView", "PackInputs"):
            pipeline.insert(0, dict(type="LoadImageFromFile"))
            if "eval" in name:
                pipeline.insert(1, dict(type="Resize", scale=SIZE))
        shrink_crops(pipeline)
        loader.dataset = dict(
            type="CustomDataset",
            data_root=str(image_folder),
            data_prefix="test" if "test" in name else "train",
            pipeline=pipeline,
        )


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_config_trains_for_two_iterations(file, image_folder, tmp_path):
    cfg = Config.fromfile(file)
    with_stand_in_data(cfg, image_folder)
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=2)
    cfg.custom_hooks = [dict(type="snnssl_mm.FiringRateHook", interval=1)]
    cfg.param_scheduler = None
    cfg.optim_wrapper.optimizer.weight_decay = 0.0  # which would change weights too
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.logger.interval = 1
    cfg.experiment_name = f"{file.stem}-{tmp_path.name}"
    runner = Runner.from_cfg(cfg)
    assert type(runner.model.data_preprocessor).__name__ == "TwoViewDataPreprocessor"
    before = [p.detach().clone() for p in runner.model.backbone.parameters()]
    runner.train()
    loss = runner.message_hub.get_scalar("train/loss").current()
    assert np.isfinite(loss)
    after = runner.model.backbone.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_config_is_short_and_says_what_it_is(file):
    lines = file.read_text().splitlines()
    assert len(lines) < 60
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_schedule_ends_with_the_training(file):
    cfg = Config.fromfile(file)
    cosine = cfg.param_scheduler[-1]
    end = cosine.get("end", cosine.begin + cosine.get("T_max", 0))
    assert end == cfg.train_cfg.max_epochs
    assert cfg.param_scheduler[0].end == cosine.begin


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_projector_fits_the_backbone(file):
    cfg = Config.fromfile(file)
    init_default_scope("mmpretrain")
    with torch.device("meta"):
        backbone = MODELS.build(cfg.model.backbone)
    assert cfg.model.neck.in_channels == backbone.embed_dims


def test_installed_config_is_a_base(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("_base_ = 'snnssl_mm::selfsup/spikformer_ctl.py'\n")
    own = Config.fromfile(file)
    shipped = Config.fromfile(FOLDER / "spikformer_ctl.py")
    assert own.model.backbone.type == shipped.model.backbone.type
    assert own.train_cfg.max_epochs == shipped.train_cfg.max_epochs


@pytest.mark.parametrize("scope", ["mmengine", "mmpretrain", "mmdet", "mmseg"])
def test_names_resolve_in_every_scope_without_custom_imports(scope):
    code = (
        "from mmengine.registry import MODELS, init_default_scope\n"
        "import snnssl_mm.compat\n"
        f"init_default_scope({scope!r})\n"
        "neuron = MODELS.build(dict(type='snnssl_mm.MixedLIF', tau=3.0))\n"
        "assert neuron.config.tau == 3.0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
