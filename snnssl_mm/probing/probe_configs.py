"""Configs of the networks that probes train, derived from the pretraining config."""

from __future__ import annotations

import copy
import math
from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints.preprocessing import (
    exchanges_channels,
    preprocessor_settings,
)
from snnssl_mm.probing.frozen_probes import MANY_CLASSES
from snnssl_mm.probing.protocols import Protocol

MIN_EPOCH = 50  # iterations; few images are repeated, since each epoch saves a file


def require_labelled_pipeline(cfg: Config) -> None:
    """Refuse a config without an augmentation for labelled training images.

    Raises:
        ValueError: If the config has no ``labelled_pipeline``.
    """
    if not cfg.get("labelled_pipeline"):
        raise ValueError(
            "a probe that trains a network augments its images, and the config has no "
            "labelled_pipeline; set it as configs/_base_/datasets/digit_scenes.py "
            "does, or use the probes knn and linear"
        )


def labelled_dataset(cfg: Config, fraction: float, seed: int) -> dict[str, Any]:
    """Return the config of (a fraction of) the training images, augmented."""
    require_labelled_pipeline(cfg)
    dataset = without_second_check(cfg.eval_train_dataloader.dataset)
    dataset.update(pipeline=list(cfg.labelled_pipeline), test_mode=False)
    if fraction == 1:
        return dataset
    return dict(
        type="snnssl_mm.LabelledFraction",
        fraction=fraction,
        seed=seed,
        dataset=dataset,
    )


def without_second_check(settings: dict[str, Any]) -> dict[str, Any]:
    """Copy a dataset's settings, without the check of an image folder's files.

    ``eval_loaders`` has decoded all of them already. With ``on_error='skip'`` the check
    selects the images, so it stays.
    """
    settings = dict(copy.deepcopy(settings))
    folder = settings["type"].rpartition(".")[2] == "ImageFolder"
    if folder and settings.get("on_error", "raise") == "raise":
        settings["verify"] = None
    return settings


def classifier_settings(
    cfg: Config,
    protocol: Protocol,
    layers: int,
    channels: int,
    classes: int,
    clips: bool = False,
) -> dict[str, Any]:
    """Return the config of mmpretrain's classifier on the pretrained backbone.

    Args:
        cfg: Config of the pretraining.
        protocol: Training settings of the probe.
        layers: Number of the backbone's layers that can be frozen, including the stem.
        channels: Channels of the backbone's last map.
        classes: Number of classes.
        clips: Whether the images are clips, with a time axis.
    """
    pixels = preprocessor_settings(cfg)
    preprocessor = dict(
        type="ClsDataPreprocessor",
        mean=pixels.get("mean"),
        std=pixels.get("std"),
        to_rgb=exchanges_channels(pixels),
        num_classes=classes,
    )
    if clips:
        preprocessor = dict(
            type="snnssl_mm.ClipDataPreprocessor", data_preprocessor=preprocessor
        )
    # As in MAE's linear probe, so that one learning rate suits any backbone.
    norm = [dict(type="ClsBatchNormNeck", input_features=channels)]
    backbone = dict(
        copy.deepcopy(cfg.model.backbone),
        frozen_stages=layers - 1 if protocol.frozen else -1,
        norm_eval=False,
        time_readout="mean",
        init_cfg=None,
    )
    if "out_indices" in backbone:  # only the last map is used
        backbone["out_indices"] = backbone["out_indices"][-1:]
    return dict(
        type="ImageClassifier",
        data_preprocessor=preprocessor,
        backbone=backbone,
        neck=[dict(type="GlobalAveragePooling"), *(norm if protocol.frozen else [])],
        head=dict(
            type="LinearClsHead",
            num_classes=classes,
            in_channels=channels,
            loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
        ),
    )


def training_settings(
    cfg: Config, protocol: Protocol, dataset: dict[str, Any], images: int
) -> dict[str, Any]:
    """Return the config of the training: loader, length, optimizer, learning rate."""
    batch_size = min(protocol.batch_size, images)
    batches = images // batch_size
    times = math.ceil(min(MIN_EPOCH, protocol.iterations) / batches)
    if times > 1:
        dataset = dict(type="RepeatDataset", times=times, dataset=dataset)
    batches = times * images // batch_size
    epochs = math.ceil(protocol.iterations / batches)
    total = epochs * batches
    warmup = round(protocol.warmup * total)
    rise = dict(type="LinearLR", start_factor=0.01, by_epoch=False, end=warmup)
    fall = dict(type="CosineAnnealingLR", by_epoch=False, begin=warmup, end=total)
    loader = dict(
        copy.deepcopy(cfg.eval_train_dataloader),
        batch_size=batch_size,
        drop_last=True,
        persistent_workers=False,
        sampler=dict(type="DefaultSampler", shuffle=True),
        dataset=dataset,
    )
    return dict(
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=optimizer_settings(protocol),
        param_scheduler=[rise, fall] if warmup else [fall],
    )


def optimizer_settings(protocol: Protocol) -> dict[str, Any]:
    """Return the optimizer's config: SGD for a linear classifier, AdamW otherwise."""
    common = dict(lr=protocol.lr, weight_decay=protocol.weight_decay)
    if protocol.frozen:
        return dict(
            type="OptimWrapper", optimizer=dict(type="SGD", momentum=0.9, **common)
        )
    return dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", **common),
        constructor="snnssl_mm.LayerDecayOptimWrapperConstructor",
        paramwise_cfg=dict(
            layer_decay_rate=protocol.layer_decay,
            norm_decay_mult=0.0,
            bias_decay_mult=0.0,
        ),
    )


def testing_settings(cfg: Config, classes: int) -> dict[str, Any]:
    """Return the config of the test on all test images."""
    topk = (1, 5) if classes > MANY_CLASSES else (1,)
    loader = dict(copy.deepcopy(cfg.eval_test_dataloader))
    loader["dataset"] = without_second_check(loader["dataset"])
    return dict(
        test_dataloader=loader,
        test_cfg=dict(),
        test_evaluator=dict(type="Accuracy", topk=topk),
    )


def runtime_settings(cfg: Config, seed: int) -> dict[str, Any]:
    """Return the config of logs, checkpoints and seeds; the run can be resumed."""
    env_cfg = copy.deepcopy(cfg.get("env_cfg") or {})
    env_cfg["cudnn_benchmark"] = False  # it selects kernels by timing
    return dict(
        default_hooks=dict(
            timer=dict(type="IterTimerHook"),
            logger=dict(type="LoggerHook", interval=50),
            param_scheduler=dict(type="ParamSchedulerHook"),
            checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
            sampler_seed=dict(type="DistSamplerSeedHook"),
        ),
        custom_hooks=[
            dict(type="snnssl_mm.KeepMemoryHook"),
            dict(type="snnssl_mm.EpochSeedHook"),
        ],
        env_cfg=env_cfg,
        randomness=dict(seed=seed),
        resume=True,
    )
