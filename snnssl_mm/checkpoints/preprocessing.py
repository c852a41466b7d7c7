"""Preprocessing that weights were trained with: mean, std, order of channels."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any, NamedTuple

from snnssl_mm.checkpoints.stored_config import type_name

RGB_IN_MEMORY = ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "DigitScenes")
"""Data sets that hand out RGB images without a transform that loads them."""
PUBLISHED = "trained_on"
"""Where the short config of a published checkpoint holds a :class:`Preprocessing`."""
SWITCHES = ("to_rgb", "bgr_to_rgb", "rgb_to_bgr")


class Preprocessing(NamedTuple):
    """What a config does to pixels.

    Attributes:
        mean: Of three channels, in the order in which the network gets them.
        std: The same.
        order: ``'rgb'`` or ``'bgr'``, as the network gets it; None if unknown.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: str | None


def preprocessor_settings(cfg: Mapping[str, Any]) -> Any:
    """Settings of a config's data preprocessor: the model's own, else the common one.

    Returns:
        The config's own dict; an empty one if it has neither.
    """
    found = (cfg.get("model") or {}).get("data_preprocessor")
    return found or cfg.get("data_preprocessor") or {}


def exchanges_channels(settings: Mapping[str, Any]) -> bool:
    """Whether a data preprocessor exchanges the first and the last channel."""
    return any(settings.get(switch) for switch in SWITCHES)


def read_as_files(cfg: Any) -> None:
    """Have a config's data preprocessor turn BGR, as files are read, into RGB."""
    own = cfg.model.get("data_preprocessor")
    settings = cfg.setdefault("data_preprocessor", {}) if own is None else own
    settings["to_rgb"] = True


def model_settings(cfg: Any) -> Any:
    """Copy a config's model, with the data preprocessor that mmengine hands to it."""
    settings = copy.deepcopy(cfg.model)
    common = cfg.get("data_preprocessor")
    if settings.get("data_preprocessor") is None and common is not None:
        settings["data_preprocessor"] = copy.deepcopy(common)
    return settings


def preprocessing(cfg: Mapping[str, Any]) -> Preprocessing | None:
    """Read it from a config; None if the config does not tell.

    The forms of mmengine, mmpretrain, mmdet and mmseg mean the same: ``to_rgb``,
    ``bgr_to_rgb`` and ``rgb_to_bgr`` each exchange the first and last channel, files
    are loaded as BGR, and no ``mean`` is a mean of 0. mmcv's ``Normalize`` among the
    transforms counts like a data preprocessor.
    """
    if PUBLISHED in cfg:
        return Preprocessing(**cfg[PUBLISHED])
    settings = preprocessor_settings(cfg)
    while isinstance(inner := settings.get("data_preprocessor"), Mapping):
        settings = inner  # of one that hands several branches to it
    steps = list(nested_steps(first_pipeline(cfg.get("train_dataloader"))))
    kinds = [type_name(step.get("type")) for step in steps]
    given = settings or cfg.get("data_preprocessor") is not None
    if not given and "train_dataloader" not in cfg:
        return None  # a loader without a preprocessor leaves the pixels as they are
    if any("Normalize" in kind for kind in kinds):
        again = settings.get("mean") or exchanges_channels(settings)
        if again or kinds.count("Normalize") != 1:
            return None
        settings = {"to_rgb": True, **steps[kinds.index("Normalize")]}
        if "mean" not in settings or "std" not in settings:
            return None
    order = None
    for step, kind in zip(steps, kinds, strict=True):
        if kind.startswith("Load") and "Annotations" not in kind:
            order = step.get("channel_order", "bgr")
            break
    else:
        kind = source_of(cfg.get("train_dataloader")).get("type")
        if type_name(kind) in RGB_IN_MEMORY:
            order = "rgb"
    if order and exchanges_channels(settings):
        order = {"rgb": "bgr", "bgr": "rgb"}[order]
    return Preprocessing(
        three(settings.get("mean"), 0.0), three(settings.get("std"), 1.0), order
    )


def loads_file(step: Mapping[str, Any]) -> bool:
    """Whether a transform reads an image file (or annotations of one)."""
    return type_name(step.get("type")).startswith("Load")


def three(values: Any, default: float) -> tuple[float, ...]:
    """Return one number for each channel."""
    if values is None:
        values = default
    listed = [values] if isinstance(values, (int, float)) else list(values)
    return tuple(map(float, listed * 3 if len(listed) == 1 else listed))


def innermost(loader: Any) -> Iterator[Mapping[str, Any]]:
    """The data set of a loader, and those that it wraps."""
    found = (loader or {}).get("dataset")
    while isinstance(found, Mapping):
        yield found
        inner = found.get("dataset") or found.get("datasets")
        found = inner[0] if isinstance(inner, (list, tuple)) and inner else inner


def source_of(loader: Any) -> Any:
    """Settings of a loader's data set inside all wrappers; an empty dict without one.

    Of several data sets that are joined, the first.
    """
    return [{}, *innermost(loader)][-1]


def first_pipeline(loader: Any) -> list[Any]:
    """Transforms that the image passes, from its source on."""
    pipelines = [one.get("pipeline") or [] for one in innermost(loader)]
    return [step for pipeline in reversed(pipelines) for step in pipeline]


def nested_steps(steps: Any) -> Iterator[Mapping[str, Any]]:
    """Transforms and those inside of them, in their order."""
    if isinstance(steps, Mapping):
        if "type" in steps:
            yield steps
        steps = [v for v in steps.values() if isinstance(v, (list, tuple))]
    if isinstance(steps, (list, tuple)):
        for step in steps:
            yield from nested_steps(step)


def preprocessing_differences(
    cfg: Mapping[str, Any], trained: Mapping[str, Any]
) -> list[str]:
    """Compare a config with the one that a checkpoint was trained with.

    Returns:
        A phrase for each difference; none if one of the two does not tell.
    """
    now, before = preprocessing(cfg), preprocessing(trained)
    if now is None or before is None:
        return []
    found = [
        f"{name}={list(old)} instead of {list(new)}"
        for name, old, new in (
            ("mean", before.mean, now.mean),
            ("std", before.std, now.std),
        )
        if len(old) != len(new)
        or not all(
            isclose(a, b, rel_tol=1e-3, abs_tol=0.05)
            for a, b in zip(old, new, strict=True)
        )
    ]
    if None not in (before.order, now.order) and before.order != now.order:
        found.append(f"channels in {before.order} instead of {now.order}")
    return found
