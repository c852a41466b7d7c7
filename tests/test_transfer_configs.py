"""Every downstream config trains on stand-in data, from a pretrained backbone."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from inherited_configs import TASKS, inheriting, small_first
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR10
from stand_in_data import (
    shrink_frames,
    write_ade20k,
    write_blood_cells,
    write_cifar10,
    write_coco,
    write_imagenet,
    write_recordings,
)

from snnssl_mm.models.membrane_shortcut.e_spike_former import E_ARCHS
from snnssl_mm.models.membrane_shortcut.max_former import MAXFORMER_ARCHS
from snnssl_mm.models.membrane_shortcut.meta_spike_former import META_ARCHS
from snnssl_mm.models.membrane_shortcut.spike_driven_transformer import SDT_ARCHS
from snnssl_mm.models.membrane_shortcut.spikingformer import SPIKINGFORMER_ARCHS
from snnssl_mm.models.spikformer import ARCHS

ROOT = Path(__file__).parents[1]
FOLDERS = ("detection", "segmentation", "classification")
CONFIGS = [
    *(f for name in FOLDERS for f in sorted((ROOT / "configs" / name).glob("*.py"))),
]
VALIDATED = {
    "mask-rcnn_spikformer-4-384_fpn_1x_coco": "coco/segm_mAP",
    "semantic-fpn_spikformer-4-384_80k_ade20k-512x512": "mIoU",
    "spikformer-4-384_linear_cifar10": "accuracy/top1",
    "spikformer-16-512_finetune-1pct_in1k": "accuracy/top5",
    "mask-rcnn_spikformer_fpn_events": "coco/segm_mAP",
    "semantic-fpn_spikformer_events": "mIoU",
    "spikformer_linear_nmnist": "accuracy/top1",
}
SIZE = 64
SHALLOW = {
    "Spikformer": (ARCHS, dict(depth=1)),
    "SpikeDrivenTransformer": (SDT_ARCHS, dict(depth=1)),
    "Spikingformer": (SPIKINGFORMER_ARCHS, dict(depth=1)),
    "MaxFormer": (MAXFORMER_ARCHS, dict(depths=(1, 1, 1))),
    "MetaSpikeFormer": (META_ARCHS, dict(depths=(1, 1))),
    "ESpikeFormer": (E_ARCHS, dict(depths=(1, 1))),
}
"""Sizes of the named archs by backbone, and what makes them shallow."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with the datasets where the configs expect them, below data/."""
    root = tmp_path_factory.mktemp("stand_in")
    rng = np.random.default_rng(0)
    write_coco(root / "data/coco", rng)
    write_blood_cells(root / "data/blood-cells", rng)
    write_ade20k(root / "data/ade/ADEChallengeData2016", rng)
    write_imagenet(root / "data/imagenet", rng)
    write_recordings(root / "data")
    checksums = write_cifar10(root / "data/cifar10", rng)
    for files in (CIFAR10.train_list, CIFAR10.test_list):
        assert {name for name, _ in files} <= set(checksums)
    return root, checksums


@pytest.fixture
def at_data(data, monkeypatch):
    """Work in the folder of the stand-in data."""
    root, checksums = data
    monkeypatch.chdir(root)
    for name in ("train_list", "test_list"):
        files = [[file, checksums[file]] for file, _ in getattr(CIFAR10, name)]
        monkeypatch.setattr(CIFAR10, name, files)


def shrink_images(pipeline):
    """Limit the outputs of the transforms to 96 pixels, in place."""
    for transform in pipeline:
        for branch in transform.get("transforms", ()):  # of RandomChoice
            shrink_images(branch if isinstance(branch, list) else [branch])
        if "scales" in transform:  # of RandomChoiceResize
            transform.scales = [(96, SIZE)]
        for key in {"scale", "crop_size"} & transform.keys():
            sides = transform[key]
            if isinstance(sides, int):
                transform[key] = min(sides, SIZE)
            elif max(sides) > 96:
                transform[key] = (SIZE, SIZE) if key == "crop_size" else (96, SIZE)


def shrink_model(model):
    """Keep the channels; take fewer time steps, blocks, boxes and queries."""
    backbone = model.backbone
    archs, shallow = SHALLOW.get(backbone.type.removeprefix("snnssl_mm."), ({}, {}))
    if "arch" in backbone:  # a ResNet's depth is its channels
        arch = backbone.arch
        backbone.arch = {**(archs[arch] if isinstance(arch, str) else arch), **shallow}
        frozen = backbone.get("frozen_stages", -1)
        backbone.frozen_stages = min(frozen, 1)
    model.backbone.time_steps = 2
    size = model.get("data_preprocessor", {}).get("size")
    if size and max(size) > 96:
        model.data_preprocessor.size = (SIZE, SIZE)
    if "num_queries" in model:
        model.num_queries = 20
    if "roi_head" in model:
        stages = model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 16
        model.test_cfg.rpn.max_per_img = 50
        model.test_cfg.rcnn.max_per_img = 5


def shrunk(file, validate=False):
    """Load a config, for two iterations of two small images."""
    cfg = Config.fromfile(file)
    shrink_model(cfg.model)
    if "rcnn" in cfg.model.get("test_cfg", {}):
        cfg.model.test_cfg.rcnn.score_thr = 0.0  # without boxes there is no metric
    for name in ("train_dataloader", "val_dataloader"):
        loader = cfg[name]
        loader.batch_size = 2
        loader.num_workers = 0
        loader.persistent_workers = False
        dataset = loader.dataset
        dataset = dataset.get("dataset", dataset)
        if "Digit" in dataset.type:  # it generates its images or recordings
            dataset.update(num_train=4, num_test=2)
        shrink_images(dataset.pipeline)
        shrink_frames(dataset.pipeline, SIZE, cfg.model.backbone.time_steps)
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    if not validate:
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    # The stand-in datasets have two batches of two images.
    length = "max_iters" if "max_iters" in cfg.train_cfg else "max_epochs"
    cfg.train_cfg[length] = 2 if length == "max_iters" else 1
    cfg.train_cfg.val_interval = cfg.train_cfg[length]
    cfg.optim_wrapper.optimizer.weight_decay = 0.0  # which would change weights too
    cfg.default_hooks.checkpoint = None
    return cfg


def write_pretrained(cfg, file):
    """Save a backbone as pretraining does, with the batch statistics of noise."""
    init_default_scope(cfg.default_scope)
    options = dict(frozen_stages=-1, norm_eval=False, init_cfg=None)
    torch.manual_seed(0)
    backbone = MODELS.build({**copy.deepcopy(cfg.model.backbone), **options})
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        backbone(torch.randn(4, backbone.in_channels, SIZE, SIZE))
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    torch.save({"state_dict": state}, file)
    return state


def expected_strides(model):
    """Strides of the backbone's maps, as the heads have them."""
    if "roi_head" in model:
        return model.roi_head.bbox_roi_extractor.featmap_strides
    if "bbox_head" in model:
        return [4, *model.bbox_head.anchor_generator.strides[:3]]  # 4 is unused
    return model.decode_head.get("feature_strides", [4, 8, 16, 32])


PYRAMIDS = [
    file
    for file in CONFIGS
    if any(family in file.stem for family in TASKS) and file.parent.name != FOLDERS[2]
]


@pytest.mark.parametrize("file", PYRAMIDS, ids=lambda file: file.stem)
def test_maps_have_the_strides_and_channels_that_the_heads_expect(file):
    cfg = Config.fromfile(file)
    shrink_model(cfg.model)
    init_default_scope(cfg.default_scope)
    backbone = MODELS.build(cfg.model.backbone).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, SIZE, SIZE))
    assert [SIZE // m.shape[-1] for m in maps] == expected_strides(cfg.model)
    user = cfg.model.get("neck") or cfg.model.decode_head
    assert [m.shape[1] for m in maps] == user.in_channels


@pytest.mark.parametrize("file", small_first(CONFIGS))
def test_config_trains_for_two_iterations(file, at_data, tmp_path):
    own = inheriting(file, tmp_path)  # as users do; test_configs.py: it is the same
    cfg = shrunk(own, validate=file.stem in VALIDATED)
    checkpoint = tmp_path / "pretrained.pth"
    before = write_pretrained(cfg, checkpoint)
    cfg.model.backbone.init_cfg = dict(
        type="snnssl_mm.BackboneInit", checkpoint=str(checkpoint)
    )
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = f"{file.stem}-{tmp_path.name}"
    runner = Runner.from_cfg(cfg)
    trainable = {n: p for n, p in runner.model.named_parameters() if p.requires_grad}
    with_gradient = set()
    for name, parameter in trainable.items():
        parameter.register_hook(lambda _, name=name: with_gradient.add(name))
    runner.train()
    assert runner.iter == 2
    assert np.isfinite(runner.message_hub.get_scalar("train/loss").current())
    after = {f"backbone.{k}": v for k, v in runner.model.backbone.state_dict().items()}
    assert before.keys() == after.keys()
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    assert with_gradient == set(trainable)
    if "linear" in file.stem:
        assert not changed
        assert set(trainable) == {"head.fc.weight", "head.fc.bias"}
    else:
        every_part = {name.split(".")[1] for name in before}
        assert {name.split(".")[1] for name in changed} == every_part
        statistics_changed = any("running" in name for name in changed)
        assert statistics_changed != cfg.model.backbone.get("norm_eval", False)
    if file.stem in VALIDATED:
        metric = runner.message_hub.get_scalar(f"val/{VALIDATED[file.stem]}").current()
        assert metric == -1 or 0 <= metric <= 100


@pytest.mark.parametrize(
    "file", [f for f in CONFIGS if "linear" in f.stem], ids=lambda file: file.stem
)
def test_linear_probe_of_random_weights_is_refused(file, at_data, tmp_path):
    cfg = shrunk(file)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = f"{file.stem}-{tmp_path.name}"
    with pytest.raises(ValueError, match="--pretrained"):
        Runner.from_cfg(cfg).train()
