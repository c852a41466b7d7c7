"""The checks of a config pass every shipped config and find planted mistakes."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from snnssl_mm.checks.config import check_config
from snnssl_mm.checks.config.schedule import (
    batches,
    batches_per_update,
    check_schedule,
)
from snnssl_mm.probing import build_eval_model

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    file
    for pattern in ("configs/*/*.py", "benchmarks/configs/*.py")
    for file in ROOT.glob(pattern)
    if file.parent.name != "_base_"
)
SSL = "selfsup/spikformer_ctl"
COCO = "detection/mask-rcnn_spikformer-4-384_fpn_1x_coco"
RETINA = "detection/retinanet_spikformer-8-512_fpn_1x_coco"
ADE = "segmentation/upernet_spikformer-8-512_160k_ade20k-512x512"
CIFAR = "classification/spikformer-4-384_finetune_cifar10"


def load(name, **changes):
    cfg = Config.fromfile(ROOT / "configs" / f"{name}.py")
    cfg.merge_from_dict(changes)
    return cfg


def found(cfg, level="error", data=False):
    """Return the problems of a level by their keys."""
    return {p.key: p.text for p in check_config(cfg, data) if p.level == level}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_config_has_no_error(file):
    assert not found(Config.fromfile(file))


NAMES = [
    (SSL, "model.backbone.type", "Spikformer", "'snnssl_mm.Spikformer'"),
    (COCO, "model.backbone.type", "snnssl_mm.Spikfromer", "mm.Spikformer'"),
    (SSL, "model.neck.type", "NonLinearNek", "'mmpretrain.NonLinearNeck'"),
    (SSL, "optim_wrapper.optimizer.type", "AdamV", "'Adam"),
    (SSL, "optim_wrapper.constructor", "LayerDecayOptimWrapperConstructor", ""),
    (COCO, "train_dataloader.dataset.type", "CoccoDataset", "mmdet.CocoDataset'"),
    (ADE, "model.decode_head.type", "UPerhead", "'mmseg.UPerHead'"),
    (SSL, "param_scheduler.0.type", "LinearLr", "'LinearLR'"),
    (SSL, "default_hooks.knn.type", "KNNHook", "'snnssl_mm.KNNHook'"),
    (SSL, "model.backbone.type", "snnsslmm.Spikformer", "'snnssl_mm.Spikformer'"),
    (COCO, "model.rpn_head.type", "snnssl_mm.SpikingYOLOXHead", "SpikingRPNHead"),
]


@pytest.mark.parametrize(("name", "key", "value", "meant"), NAMES)
def test_unknown_type_is_named_with_the_nearest(name, key, value, meant):
    cfg = load(name, **{key: value})
    (where,) = problems = found(cfg)
    assert where.replace("[", ".").replace("]", "") in (key, f"{key}.type")
    assert repr(value) in problems[where]
    assert meant in problems[where]


ARGUMENTS = [
    (SSL, "model.backbone.time_step", "'time_steps'"),
    (SSL, "model.neck.in_chanels", "'in_channels'"),
    (SSL, "model.head.loss.lambda_", "'lambda_'"),
    (COCO, "model.neck.num_out", "'num_outs'"),
    (SSL, "default_hooks.keep_memory.intervall", "KeepMemoryHook"),
    (SSL, "train_dataloader.batch_sise", "batch_size"),
    (SSL, "train_cfg.max_epoch", "'max_epochs'"),
    (SSL, "param_scheduler.0.start_faktor", "'start_factor'"),
]


@pytest.mark.parametrize(("name", "key", "text"), ARGUMENTS)
def test_misspelt_argument_is_named(name, key, text):
    cfg = load(name, **{key: 1})
    problems = {**found(cfg, "warning"), **found(cfg)}
    keys = {k.replace("[", ".").replace("]", ""): k for k in problems}
    assert text in problems[keys[key]]


def test_a_surrogate_is_no_registered_type():
    surrogate = dict(type="atan", alpha=3.0)
    cfg = load(SSL, **{"model.backbone.neuron": dict(surrogate=surrogate)})
    assert not found(cfg)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("model.backbone.neuron", dict(surrogate=dict(type="atn")), "atn"),
        ("model.backbone.arch.num_heads", 5, "num_heads=5"),
        ("model.head.loss.lambd", -1, "lambd"),
    ],
)
def test_model_that_cannot_be_built(key, value, text):
    assert text in found(load(SSL, **{key: value}))["model"]


SCHEDULES = [
    ("param_scheduler.1.end", 99, "warning", "28 epochs"),
    ("param_scheduler.1.begin", 28, "error", "end=28"),
    ("train_cfg.max_epochs", 2, "warning", "2 epochs"),
    ("auto_scale_lr", dict(base_batch_size=256), "warning", "4 processes"),
]


@pytest.mark.parametrize(("key", "value", "level", "text"), SCHEDULES)
def test_schedule_that_does_not_fit_is_named(key, value, level, text, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    problems = found(load(SSL, **{key: value}), level)
    assert any(text in problem for problem in problems.values()), problems


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({}, 1),
        (dict(optim_wrapper=None, strategy=None), 1),
        (dict(optim_wrapper=dict(accumulative_counts=4)), 4),
        (dict(strategy=dict(gradient_accumulation_steps=3)), 3),
        (dict(strategy=dict(gradient_accumulation_steps=None)), 1),
    ],
    ids=["none", "unset", "mmengine", "deepspeed", "default"],
)
def test_global_batch_is_that_of_an_update(settings, number, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert batches_per_update(settings) == number
    for base in (2 * 8 * number, 2 * 8 * number + 1):
        cfg = dict(settings, train_dataloader=dict(batch_size=8))
        cfg["auto_scale_lr"] = dict(base_batch_size=base)
        assert bool([*batches(cfg)]) == (base % 2 == 1)


def scheduled(loop, **last):
    """Return the warnings of a warm-up and a decay, for epochs of 10 iterations."""
    warmup = dict(type="LinearLR", by_epoch=False, end=5)
    decay = dict(type="mmengine.CosineAnnealingLR", begin=1) | last
    cfg = dict(train_cfg=loop, param_scheduler=[warmup, decay])
    return [problem.text for problem in check_schedule(cfg, epoch_length=10)]


@pytest.mark.parametrize(
    ("loop", "last", "options"),
    [
        (dict(max_epochs=8), dict(end=4), ("end=8", "max_epochs=4")),
        (dict(max_epochs=8), dict(T_max=3), ("T_max=7", "max_epochs=4")),
        (
            dict(max_epochs=8),
            dict(end=4, convert_to_iter_based=True),
            ("end=8", "max_epochs=4"),
        ),
        (
            dict(max_epochs=8),
            dict(by_epoch=False, end=40),
            ("end=80", "max_epochs=4"),
        ),
        (
            dict(max_epochs=2),
            dict(by_epoch=False, end=40),
            ("end=20", "max_epochs=4"),
        ),
        (
            dict(max_iters=99),
            dict(by_epoch=False, end=40),
            ("end=99", "max_iters=40"),
        ),
    ],
)
def test_a_decay_that_ends_at_another_step_is_named(loop, last, options):
    (text,) = scheduled(loop, **last)
    first, second = options
    assert text.endswith(f"param_scheduler.1.{first}, or train_cfg.{second}")


@pytest.mark.parametrize(
    "last",
    [
        dict(end=8),
        dict(T_max=7),
        dict(by_epoch=False, end=79),
        dict(type="LinearLR", end=2),
        dict(type="MultiStepLR", milestones=[4]),
    ],
)
def test_schedules_that_end_with_the_training_or_may_end_before(last):
    assert not scheduled(dict(max_epochs=8), **last)


def test_epochs_in_a_training_of_iterations():
    problems = found(load(ADE, **{"param_scheduler.1.by_epoch": True}))
    assert "by_epoch=False" in problems["param_scheduler[1].by_epoch"]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("custom_hook", "custom_hooks"),
        ("param_schedulers", "param_scheduler"),
        ("optim_wraper", "optim_wrapper"),
    ],
)
def test_misspelt_key_of_the_runner(key, meant):
    assert meant in found(load(SSL, **{key: []}))[key]


def test_hook_that_runs_twice():
    hook = dict(type="snnssl_mm.CollapseHook")
    problems = found(load(SSL, custom_hooks=[hook]), "warning")
    assert "collapse=" in problems["custom_hooks[0]"]


def test_keys_of_old_versions_and_missing_parts():
    cfg = load(SSL, lr_config=dict(policy="step"), optim_wrapper=None)
    problems = found(cfg, "warning")
    assert "param_scheduler" in problems["lr_config"]
    assert "optim_wrapper" in problems


@pytest.fixture
def weights(tiny_config, tmp_path):
    """Config of the tiny model, and a checkpoint of it."""
    cfg = Config.fromfile(tiny_config)
    file = tmp_path / "pretrained.pth"
    torch.save({"state_dict": build_eval_model(cfg).state_dict()}, file)
    return cfg, str(file)


@pytest.mark.parametrize(
    ("prefix", "right"), [(None, False), ("encoder.", False), ("backbone.", True)]
)
def test_prefix_that_loads_nothing(weights, prefix, right):
    cfg, file = weights
    init_cfg = dict(type="Pretrained", checkpoint=file)
    cfg.model.backbone.init_cfg = {**init_cfg, **({"prefix": prefix} if prefix else {})}
    problems = found(cfg)
    assert bool(problems) != right
    if not right:
        text = problems["model.backbone.init_cfg"]
        assert "prefix='backbone.'" in text


def test_weights_that_do_not_fit(weights):
    cfg, file = weights
    cfg.model.backbone.arch.depth = 2
    cfg.model.backbone.init_cfg = dict(type="snnssl_mm.BackboneInit", checkpoint=file)
    assert "Spikformer" in found(cfg)["model.backbone.init_cfg"]
    other = load(ADE, **{"model.pretrained": file, "load_from": file})
    problems = found(other)
    assert "pretrained=None" in problems["model.pretrained"]
    cfg.load_from = file
    assert "blocks.1" in found(cfg)["load_from"]
    cfg.model.backbone.arch.depth = 1
    assert "load_from" not in found(cfg)
    torch.save({"state_dict": {"a": torch.ones(1)}}, file)
    assert file in found(cfg)["load_from"]


def test_missing_files_count_only_if_asked_for():
    nowhere = dict(type="snnssl_mm.BackboneInit", checkpoint="nowhere.pth")
    changes = {"model.backbone.init_cfg": nowhere, "load_from": "nowhere.pth"}
    cfg = load("selfsup/spikformer-4-384_ctl_folder32", **changes)
    assert not found(cfg)
    problems = found(cfg, data=True)
    assert {"load_from", "model.backbone.init_cfg.checkpoint"} < problems.keys()
    assert "data/images/train" in problems["train_dataloader.dataset"]
    problems = found(load(COCO), data=True)
    assert {"train_dataloader.dataset", "val_dataloader.dataset"} <= problems.keys()
    assert not found(load(SSL), data=True), "it makes its data"


class Pixels(torch.nn.Module):
    """A teacher that gets its weights as it is built, as timm's networks do."""

    def __init__(self, pretrained=False):
        super().__init__()

    def forward(self, images):
        return images


def test_frozen_teacher_keeps_its_weights_in_the_trial_run(tiny_config):
    MODELS.register_module("Pixels", module=Pixels, force=True)
    cfg = Config.fromfile(tiny_config)
    cfg.model.neck.out_channels = 3
    cfg.model.head.loss = dict(type="snnssl_mm.FeatureDistillationLoss")
    network = dict(type="mmengine.Pixels", pretrained=True)
    cfg.model.frozen_teacher = dict(backbone=network)
    assert not found(cfg, data=True)
    cfg.model.frozen_teacher.backbone.pretrained = False
    assert "model" in found(cfg)
