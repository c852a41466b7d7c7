"""Equivalent preprocessing is recognised in the settings of all libraries."""

import re
from pathlib import Path

import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmpretrain.datasets import CIFAR10

from snnssl_mm.checkpoints import reading
from snnssl_mm.checkpoints.preprocessing import preprocessing, preprocessing_differences
from snnssl_mm.checkpoints.publishing import publish
from snnssl_mm.checkpoints.stored_config import stored_config

CONFIGS = Path(__file__).parents[2] / "configs"
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
LOAD = dict(type="LoadImageFromFile")


def cfg_of(settings, *steps, dataset="ImageNet", top=False):
    data = dict(dataset=dict(type=dataset, pipeline=list(steps)))
    if top:
        return dict(data_preprocessor=settings, train_dataloader=data)
    return dict(model=dict(data_preprocessor=settings), train_dataloader=data)


def test_forms_of_the_libraries_are_equal():
    views = dict(type="MultiView", transforms=[[dict(type="RandomFlip")]])
    forms = [
        cfg_of(dict(mean=MEAN, std=STD, to_rgb=True), LOAD, views, top=True),
        cfg_of(dict(mean=tuple(MEAN), std=STD, bgr_to_rgb=True), LOAD),
        cfg_of(dict(mean=MEAN, std=STD), dict(LOAD, channel_order="rgb")),
        cfg_of(dict(mean=MEAN, std=STD), views, dataset="CIFAR10"),
        cfg_of(dict(mean=[123.68, 116.28, 103.53], std=STD), dataset="CIFAR100"),
    ]
    wrapped = cfg_of(dict(mean=MEAN, std=STD, to_rgb=True), LOAD)
    inner = wrapped["train_dataloader"]["dataset"]
    repeated = dict(type="RepeatDataset", dataset=inner)
    mixed = dict(type="ConcatDataset", datasets=[repeated], pipeline=[views])
    forms.append(dict(wrapped, train_dataloader=dict(dataset=mixed)))
    branches = dict(type="mmdet.MultiBranchDataPreprocessor")
    branches["data_preprocessor"] = dict(mean=MEAN, std=STD, bgr_to_rgb=True)
    forms.append(cfg_of(branches, LOAD))
    normalize = dict(type="mmcv.Normalize", mean=MEAN, std=STD)
    forms.append(cfg_of(dict(pad_size_divisor=32), LOAD, normalize))
    forms.append(cfg_of({}, dict(type=LoadImageFromFile), dict(normalize, to_rgb=True)))
    forms.append(cfg_of(dict(mean=MEAN, std=STD), dataset=CIFAR10))
    for one in forms:
        assert preprocessing(one).order == "rgb"
        for other in forms:
            assert preprocessing_differences(one, other) == []


@pytest.mark.parametrize(
    ("settings", "phrases"),
    [
        (dict(mean=MEAN, std=STD), ["channels in rgb instead of bgr"]),
        (dict(mean=0.0, std=STD, to_rgb=True), ["mean"]),
        (dict(mean=MEAN[::-1], std=STD[::-1]), ["mean", "std", "channels"]),
        (dict(to_rgb=True), ["mean", "std"]),
        (None, ["mean", "std", "channels"]),
    ],
)
def test_differences_are_named(settings, phrases):
    trained = cfg_of(dict(mean=MEAN, std=STD, to_rgb=True), LOAD)
    found = preprocessing_differences(cfg_of(settings, LOAD), trained)
    assert len(found) == len(phrases)
    assert all(map(str.startswith, found, phrases))


def test_what_is_not_told_is_not_compared():
    trained = cfg_of(dict(mean=MEAN, std=STD, to_rgb=True), LOAD)
    assert preprocessing_differences(trained, dict(model=dict(backbone={}))) == []
    by_steps = cfg_of(dict(mean=0.0, std=1.0), LOAD, dict(type="Normalize"))
    assert preprocessing_differences(by_steps, trained) == []
    own = cfg_of(dict(mean=MEAN, std=STD), dataset="OwnImagesInMemory")
    assert preprocessing_differences(own, trained) == []


PAIRS = {
    "selfsup/spikformer_ctl.py": [
        "detection/mask-rcnn_spikformer_fpn_digits.py",
        "segmentation/semantic-fpn_spikformer_digits.py",
    ],
    "selfsup/spikformer-8-512_ctl_in1k.py": [
        "detection/retinanet_spikformer-8-512_fpn_1x_coco.py",
        "segmentation/upernet_spikformer-8-512_160k_ade20k-512x512.py",
        "classification/spikformer-16-512_finetune_in1k.py",
    ],
    "selfsup/spikformer-4-384_ctl_cifar10.py": [
        "selfsup/spikformer-4-384_ctl_folder32.py",
        "classification/spikformer-4-384_linear_cifar10.py",
    ],
    "selfsup/spiking-resnet-50_ctl_in1k.py": [
        "detection/mask-rcnn_spiking-resnet-50_c4_1x_coco.py",
    ],
}


@pytest.mark.parametrize("source", PAIRS)
def test_shipped_configs_agree_with_their_pretraining(source):
    trained = Config.fromfile(CONFIGS / source)
    assert preprocessing(trained).order == "rgb"
    for name in PAIRS[source]:
        now = Config.fromfile(CONFIGS / name)
        assert preprocessing(now).order == "rgb"
        assert preprocessing_differences(now, trained) == []


def test_published_checkpoints_still_tell(tmp_path):
    trained = cfg_of(dict(mean=MEAN, std=STD, to_rgb=True), LOAD)
    trained["model"]["backbone"] = dict(type="snnssl_mm.Spikformer")
    checkpoint = dict(
        meta=dict(cfg=Config(trained).pretty_text),
        state_dict={"backbone.a": torch.ones(1)},
    )
    torch.save(checkpoint, tmp_path / "full.pth")
    for backbone_only in (False, True):
        file = publish(str(tmp_path / "full.pth"), "it", tmp_path, backbone_only)
        published = stored_config(reading.load(file))
        assert preprocessing(published) == preprocessing(trained)


def test_config_in_a_checkpoint_is_read_with_any_keys():
    cfg = dict(optim_wrapper=dict(custom_keys={".bn": dict(a=1.0)}, counts=2), b=[None])
    text = Config(cfg).pretty_text
    assert re.search(r"dict\(\s*\{", text)  # no keyword arguments
    assert stored_config(dict(meta=dict(cfg=text))) == cfg
