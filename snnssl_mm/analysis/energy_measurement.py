"""Operations and energy of a model on the test images of its config."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import DataLoader

from snnssl_mm.analysis.unseen_images import is_pretraining
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.recording.energy import (
    ACCOUNTINGS,
    BACKBONE,
    CONSTANTS,
    MICROJOULE,
    compare,
)
from snnssl_mm.recording.operations import LayerOperations, OperationCounter


def deployed(model: Any, cfg: Config) -> nn.Module:
    """Return the part of a model that is used: of pretraining the backbone alone."""
    used: nn.Module = model.backbone if is_pretraining(cfg) else model
    return used


def prediction(model: Any, cfg: Config) -> Callable[[Any], Any]:
    """How a model of this config is used: features when pretraining, predictions else.

    Returns:
        A function of one batch of :func:`.unseen_images.unseen_images`.
    """
    if not is_pretraining(cfg):
        predict: Callable[[Any], Any] = model.test_step
        return predict
    return lambda batch: model.extract_feat(
        model.data_preprocessor(batch, training=False)["inputs"]
    )


def count_images(loader: DataLoader[Any]) -> int:
    """Count the images of a loader of :func:`.unseen_images.unseen_images`."""
    return len(loader.dataset)  # type: ignore[arg-type]


def is_spiking(backbone: nn.Module) -> bool:
    """Whether it shows an image several times, or has a MixedLIF."""
    neurons = (isinstance(child, MixedLIF) for child in backbone.modules())
    return hasattr(backbone, "time_steps") or any(neurons)


def check_model(model: Any) -> None:
    """Refuse a model whose operations cannot be told apart or compared.

    Raises:
        ValueError: If it has no backbone, or a spiking one without ``time_steps``.
    """
    backbone = getattr(model, BACKBONE, None)
    if backbone is None:
        raise ValueError(
            f"{type(model).__name__} has no backbone, in which spikes are counted; "
            "expected a model of pretraining, classification, detection or segmentation"
        )
    if is_spiking(backbone) and not hasattr(backbone, "time_steps"):
        raise ValueError(
            f"{type(backbone).__name__} has spiking neurons but no attribute "
            "time_steps; set it to the number of times that the backbone shows an image"
        )


@contextmanager
def one_time_step(backbone: Any) -> Iterator[None]:
    """Let a backbone show a still image once."""
    steps = backbone.time_steps
    backbone.time_steps = 1
    try:
        yield
    finally:
        backbone.time_steps = steps


@torch.no_grad()
def measure_layers(
    model: Any, batches: Iterable[Any], predict: Callable[[Any], Any], images: int
) -> tuple[list[dict[str, Any]], int]:
    """Count operations and measure input rates of every layer of a model.

    Besides, the backbone of a spiking model runs once more on what it was given, with
    one time step: that is what the equal non-spiking network computes. What follows the
    backbone sees an average over time, so it is the same in both.

    Args:
        model: In evaluation mode, with a ``backbone``; left as it was.
        batches: Of :func:`.unseen_images.unseen_images`.
        predict: Of :func:`prediction`.
        images: Number of images in all batches.

    Returns:
        Layers per image, as :mod:`snnssl_mm.recording.energy` describes them, and the
        number of time steps.

    Raises:
        ValueError: From :func:`check_model`.
    """
    check_model(model)
    backbone = model.backbone
    spiking = is_spiking(backbone)
    counter, once = OperationCounter(model), OperationCounter(model)
    steps = 1
    for batch in batches:
        calls: list[tuple[Tensor, ...]] = []
        watch = backbone.register_forward_pre_hook(lambda _, x, to=calls: to.append(x))
        with watch, counter:
            predict(batch)
        for (x,) in calls if spiking else ():
            clip = x.dim() == 5  # [T, N, C, H, W]
            steps = x.shape[0] if clip else backbone.time_steps
            with one_time_step(backbone), once:
                backbone(x[:1] if clip else x)
    single = once.found if spiking else counter.found
    layers = [layer_entry(layer, single, images, spiking) for layer in counter.layers]
    return layers, steps


def layer_entry(
    layer: LayerOperations,
    once: Mapping[str, LayerOperations],
    images: int,
    spiking: bool,
) -> dict[str, Any]:
    """Describe one layer per image.

    Args:
        layer: What it did for all images.
        once: What the layers of the backbone did in one time step; one that works
            between time steps is not among them.
        images: Number of images.
        spiking: Whether the backbone spikes.
    """
    part = re.split("[. ]", layer.name)[0]
    counts = spiking and part == BACKBONE
    single = once.get(layer.name, LayerOperations(layer.name)) if counts else layer
    return {
        "name": layer.name,
        "part": part,
        "kind": layer.kind if counts else "real",
        "macs": layer.macs / images,
        "rate": layer.rate if counts else None,
        "non_spiking_macs": single.macs / images,
    }


def backbone_energy_uj(
    model: Any, cfg: Config, loader: DataLoader[Any]
) -> dict[str, float]:
    """Energy of a pretraining model's backbone at the first of ``CONSTANTS``.

    Args:
        model: In evaluation mode; left as it was.
        cfg: Its config.
        loader: Of :func:`.unseen_images.unseen_images`.

    Returns:
        µJ per image: ``'integers_as_spikes'``, ``'integers_as_macs'`` and
        ``'non_spiking'``, that of the equal non-spiking network.

    Raises:
        ValueError: From :func:`check_model`.
    """
    images = count_images(loader)
    layers, _ = measure_layers(model, loader, prediction(model, cfg), images)
    layers = [layer for layer in layers if layer["part"] == BACKBONE]
    as_macs, non_spiking = compare(layers, ACCOUNTINGS[0], CONSTANTS[0])
    as_spikes, _ = compare(layers, ACCOUNTINGS[1], CONSTANTS[0])
    found = {
        "integers_as_spikes": as_spikes,
        "integers_as_macs": as_macs,
        "non_spiking": non_spiking,
    }
    return {name: value / MICROJOULE for name, value in found.items()}
