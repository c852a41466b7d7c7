"""Preprocessing that weights were trained with: mean, std, channel order."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any, NamedTuple

from snnssl_mm.checkpoints.stored_config import type_name

RGB_IN_MEMORY = ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "DigitScenes")
"""Datasets that yield RGB images without a loading transform."""
PUBLISHED = "trained_on"
"""Key of the :class:`Preprocessing` in the short config of a published checkpoint."""
SWITCHES = ("to_rgb", "bgr_to_rgb", "rgb_to_bgr")


class Preprocessing(NamedTuple):
    """Normalisation and channel order of a config.

    Attributes:
        mean: Mean per channel, in the network's channel order.
        std: Standard deviation per channel, in the same order.
        order: Channel order of the network's input, ``'rgb'`` or ``'bgr'``; None if
            unknown.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: str | None


def preprocessor_settings(cfg: Mapping[str, Any]) -> Any:
    """Find a config's data preprocessor: the model's own, else the top-level one.

    Returns:
        The config's own dict, not a copy; an empty one if it has neither.
    """
    found = (cfg.get("model") or {}).get("data_preprocessor")
    return found or cfg.get("data_preprocessor") or {}


def exchanges_channels(settings: Mapping[str, Any]) -> bool:
    """Whether a data preprocessor swaps the first and the last channel."""
    return any(settings.get(switch) for switch in SWITCHES)


def read_as_files(cfg: Any) -> None:
    """Make a config's data preprocessor convert BGR, as files are read, to RGB."""
    own = cfg.model.get("data_preprocessor")
    settings = cfg.setdefault("data_preprocessor", {}) if own is None else own
    settings["to_rgb"] = True


def model_settings(cfg: Any) -> Any:
    """Copy a config's model settings, with the data preprocessor mmengine adds."""
    settings = copy.deepcopy(cfg.model)
    common = cfg.get("data_preprocessor")
    if settings.get("data_preprocessor") is None and common is not None:
        settings["data_preprocessor"] = copy.deepcopy(common)
    return settings


def preprocessing(cfg: Mapping[str, Any]) -> Preprocessing | None:
    """Read the preprocessing from a config; None if the config does not define it.

    The forms of mmengine, mmpretrain, mmdet and mmseg are equivalent: ``to_rgb``,
    ``bgr_to_rgb`` and ``rgb_to_bgr`` each swap the first and last channel, files are
    loaded as BGR, and a missing ``mean`` means 0. mmcv's ``Normalize`` among the
    transforms counts as a data preprocessor.
    """
    if PUBLISHED in cfg:
        return Preprocessing(**cfg[PUBLISHED])
    settings = preprocessor_settings(cfg)
    while isinstance(inner := settings.get("data_preprocessor"), Mapping):
        settings = inner  # a wrapper for several branches
    steps = list(nested_steps(first_pipeline(cfg.get("train_dataloader"))))
    kinds = [type_name(step.get("type")) for step in steps]
    given = settings or cfg.get("data_preprocessor") is not None
    if not given and "train_dataloader" not in cfg:
        return None  # a loader without a preprocessor does not change the pixels
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
    """Whether a transform reads an image file, or its annotations."""
    return type_name(step.get("type")).startswith("Load")


def three(values: Any, default: float) -> tuple[float, ...]:
    """Expand a setting to one number per channel."""
    if values is None:
        values = default
    listed = [values] if isinstance(values, (int, float)) else list(values)
    return tuple(map(float, listed * 3 if len(listed) == 1 else listed))


def innermost(loader: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the settings of a loader's dataset and of those that it wraps."""
    found = (loader or {}).get("dataset")
    while isinstance(found, Mapping):
        yield found
        inner = found.get("dataset") or found.get("datasets")
        found = inner[0] if isinstance(inner, (list, tuple)) and inner else inner


def source_of(loader: Any) -> Any:
    """Return the settings of a loader's innermost dataset; an empty dict without one.

    For concatenated datasets this is the first one.
    """
    return [{}, *innermost(loader)][-1]


def first_pipeline(loader: Any) -> list[Any]:
    """List the transforms that an image passes, from the innermost dataset on."""
    pipelines = [one.get("pipeline") or [] for one in innermost(loader)]
    return [step for pipeline in reversed(pipelines) for step in pipeline]


def nested_steps(steps: Any) -> Iterator[Mapping[str, Any]]:
    """Yield transforms and the transforms nested in them, in order."""
    if isinstance(steps, Mapping):
        if "type" in steps:
            yield steps
        steps = [v for v in steps.values() if isinstance(v, (list, tuple))]
    if isinstance(steps, (list, tuple)):
        for step in steps:
            yield from nested_steps(step)


def transforms_named(loader: Any, *names: str) -> list[Any]:
    """List the transforms of a loader that have one of ``names``, nested ones too.

    Returns:
        The config's own dicts, not copies.
    """
    steps = nested_steps(first_pipeline(loader))
    return [step for step in steps if type_name(step["type"]) in names]


def preprocessing_differences(
    cfg: Mapping[str, Any], trained: Mapping[str, Any]
) -> list[str]:
    """Compare the preprocessing of a config with that of a checkpoint's config.

    Returns:
        One phrase per difference; none if either config does not define it.
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
