"""Weights must fit their model in tensors and settings, however they are given."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from snnssl_mm.checkpoints import read_once, reading
from snnssl_mm.checkpoints.given_weights import compare_weights, given_weights
from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.checks.config.build import build_unfilled
from snnssl_mm.checks.config.weights import check_weights

CONFIGS = Path(__file__).parents[2] / "configs"
PRETRAINING = CONFIGS / "selfsup" / "spikformer_ctl.py"
DETECTION = CONFIGS / "detection" / "mask-rcnn_spikformer_fpn_digits.py"
STOCK, OURS = dict(type="Pretrained"), dict(type="snnssl_mm.BackboneInit")


read_config = functools.cache(Config.fromfile)


def changed(file, **changes):
    cfg = copy.deepcopy(read_config(file))
    cfg.merge_from_dict(changes)
    return cfg


def saved(file, cfg, prefix=""):
    """Checkpoint of a config's model with random weights, as mmengine saves it."""
    init_default_scope(cfg.default_scope)
    state = MODELS.build(cfg.model).state_dict()
    state = {k.removeprefix(prefix): v for k, v in state.items() if prefix in k}
    torch.save({"meta": dict(cfg=cfg.pretty_text), "state_dict": state}, file)
    return str(file)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Checkpoint of the main job."""
    return saved(tmp_path_factory.mktemp("ssl") / "ssl.pth", changed(PRETRAINING))


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """Checkpoint of a detector of ten classes."""
    return saved(tmp_path_factory.mktemp("det") / "det.pth", changed(DETECTION))


def found(cfg, level="error"):
    """Problems of the weights, by their keys."""
    init_default_scope(cfg.default_scope)
    model, reasons = build_unfilled(cfg)
    assert not reasons
    problems = check_weights(cfg, model, files=True)
    return {p.key: p.text for p in problems if p.level == level}


WAYS = {
    "init_cfg of the backbone": ("model.backbone.init_cfg", STOCK, "backbone."),
    "BackboneInit": ("model.backbone.init_cfg", OURS, None),
    "init_cfg of the model": ("model.init_cfg", STOCK, None),
    "load_from": ("load_from", None, None),
}


def giving(way, file, **changes):
    """Detector that is given the file in one of the ways."""
    key, init_cfg, prefix = WAYS[way]
    value = file
    if init_cfg:
        value = dict(init_cfg, checkpoint=file)
        value |= dict(prefix=prefix) if prefix else {}
    return changed(DETECTION, **{key: value, **changes}), key


@pytest.mark.parametrize("way", WAYS)
def test_weights_of_the_pretraining_pass_and_are_those_expected(way, pretrained):
    cfg, _ = giving(way, pretrained)
    assert not found(cfg)
    model, _ = build_unfilled(cfg)
    (given,) = given_weights(cfg, model)
    expected = compare_weights(given, model, cfg).tensors
    stored = torch.load(pretrained, weights_only=False)["state_dict"]
    names = {k for k in model.state_dict() if k.startswith("backbone.")}
    assert expected.keys() == names
    assert all(torch.equal(expected[name], stored[name]) for name in names)


MISFITS = {
    "depth": (dict(arch=dict(depth=2)), "blocks.1"),
    "width": (dict(arch=dict(embed_dims=128)), r"\(8, .*\(16, "),
    "heads": (dict(arch=dict(num_heads=2)), r"num_heads=4\b.* 2\b"),
    "stem": (dict(stem="imagenet", out_indices=(0, 1, 2)), "stem='cifar'"),
    "neuron": (
        dict(neuron=dict(v_threshold=0.5)),
        r"neuron\.v_threshold=1\.0\b.* 0\.5\b",
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("misfit", MISFITS)
def test_another_backbone_is_refused(way, misfit, pretrained):
    settings, text = MISFITS[misfit]
    cfg, key = giving(way, pretrained)
    cfg.merge_from_dict({"model.backbone": settings})
    if misfit == "width":
        cfg.model.neck.in_channels = [64, 128, 128]
    (problem,) = [text for k, text in found(cfg).items() if k == key]
    assert re.search(text, problem), problem


PIXELS = {
    "mean": {"model.data_preprocessor.mean": [123.675, 116.28, 103.53]},
    "std": {"model.data_preprocessor.std": [1.0, 1.0, 1.0]},
    "none": {"model.data_preprocessor.mean": None, "model.data_preprocessor.std": None},
    "order": {"model.data_preprocessor.bgr_to_rgb": False},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pixels", PIXELS)
def test_other_preprocessing_is_refused(way, pixels, pretrained):
    cfg, key = giving(way, pretrained, **PIXELS[pixels])
    text = found(cfg)[key]
    named = {"none": "mean", "order": "rgb.*bgr"}
    assert re.search(named.get(pixels, pixels), text)
    assert "data_preprocessor" in text


def test_only_our_initialiser_takes_a_part_if_asked(pretrained):
    changes = PIXELS["mean"] | {"model.backbone.arch.depth": 2}
    cfg, key = giving("BackboneInit", pretrained, **changes)
    cfg.model.backbone.init_cfg.strict = False
    assert not found(cfg)
    assert "mean" in found(cfg, "warning")[key]


@pytest.mark.parametrize("prefix", [None, "encoder.", "backbone.stem."])
def test_wrong_prefix_names_the_right_one(prefix, pretrained):
    cfg, key = giving("init_cfg of the backbone", pretrained)
    cfg.model.backbone.init_cfg.prefix = prefix
    assert "prefix='backbone.'" in found(cfg)[key]


def test_bare_backbone_has_no_prefix(tmp_path):
    bare = saved(tmp_path / "bare.pth", changed(PRETRAINING), "backbone.")
    cfg, key = giving("init_cfg of the backbone", bare)
    assert "prefix" in found(cfg)[key]
    del cfg.model.backbone.init_cfg["prefix"]
    assert not found(cfg)


def test_detector_of_other_classes_may_be_fine_tuned(detector):
    cfg, key = giving("load_from", detector)
    cfg.model.roi_head.bbox_head.num_classes = 3
    cfg.model.roi_head.mask_head.num_classes = 3
    assert not found(cfg)
    assert "fc_cls.weight has shape (11, " in found(cfg, "warning")[key]


STOCK_RESNET = dict(type="mmdet.ResNet", depth=18, base_channels=8)


@pytest.mark.parametrize(
    ("keep", "prefix", "text"),
    [
        ("", "", None),
        ("", "backbone.", "'backbone.'"),
        ("layer4", "", "layer4"),
        ("nothing", "", r"resnet\.pth"),
    ],
)
def test_stock_backbone_of_a_local_file(tmp_path, keep, prefix, text):
    """The file has a classifier on top; only an incomplete backbone is refused."""
    init_default_scope("mmdet")
    state = MODELS.build(STOCK_RESNET).state_dict()
    kept = {
        prefix + k: v for k, v in state.items() if not keep or not k.startswith(keep)
    }
    if keep == "nothing":
        kept = {}
    kept["fc.weight"] = torch.zeros(10, 512)
    torch.save({"state_dict": kept}, tmp_path / "resnet.pth")
    file = str(tmp_path / "resnet.pth")
    cfg = changed(DETECTION)
    cfg.model.backbone = dict(STOCK_RESNET, init_cfg=dict(STOCK, checkpoint=file))
    problems = found(cfg)
    assert bool(problems) == bool(text)
    if text:
        assert re.search(text, problems["model.backbone.init_cfg"])


@pytest.mark.parametrize("path", ["torchvision://resnet18", "https://nowhere/x.pth"])
def test_files_elsewhere_are_not_in_the_way(path):
    cfg = changed(DETECTION)
    cfg.model.backbone = dict(STOCK_RESNET, init_cfg=dict(STOCK, checkpoint=path))
    assert not found(cfg)
    assert not found(cfg, "warning")


@pytest.mark.parametrize("way", WAYS)
def test_absent_file_names_the_nearest(way, pretrained):
    near = str(Path(pretrained).with_name("sll.pth"))
    cfg, _ = giving(way, near)
    (text,) = found(cfg).values()
    assert pretrained in text
    cfg, _ = giving(way, "spikformer-digits_ct")
    (text,) = found(cfg).values()
    assert "spikformer-digits_ctl" in text


def test_a_kept_file_is_read_once_and_readers_do_not_disturb_each_other(
    pretrained, monkeypatch
):
    reads, real = [], torch.load
    monkeypatch.setattr(
        reading.torch, "load", lambda *a, **k: reads.append(a) or real(*a, **k)
    )
    with read_once.files_kept():
        first = read_checkpoint(pretrained)
        number = len(first["state_dict"])
        first["state_dict"].clear()
        del first["meta"]
        second = read_checkpoint(pretrained)
        assert len(second["state_dict"]) == number
        assert "meta" in second
        assert len(reads) == 1
        read_once.forget()
        read_checkpoint(pretrained)
        assert len(reads) == 2
    assert not read_once._kept
