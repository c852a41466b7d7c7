"""Operations and energy of a model on the test images of its config."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import DataLoader

from snnssl_mm.analysis.unseen_images import is_pretraining
from snnssl_mm.models.clips import frames_of_clips, reads_events, unfold_frames
from snnssl_mm.neurons import MixedNeuron, expand_to_spikes
from snnssl_mm.recording.energy import (
    ACCOUNTINGS,
    BACKBONE,
    CONSTANTS,
    MICROJOULE,
    compare,
)
from snnssl_mm.recording.operations import (
    MAX_EVENTS,
    MAX_SPIKES,
    LayerOperations,
    OperationCounter,
)


def deployed(model: Any, cfg: Config) -> nn.Module:
    """Return the deployed part of a model: after pretraining, only the backbone."""
    used: nn.Module = model.backbone if is_pretraining(cfg) else model
    return used


def prediction(model: Any, cfg: Config) -> Callable[[Any], Any]:
    """Return the forward pass to measure: features for pretraining, else predictions.

    Returns:
        A function of one batch of :func:`.unseen_images.unseen_images`.
    """
    if not is_pretraining(cfg):
        predict: Callable[[Any], Any] = model.test_step
        return predict
    return lambda batch: model.extract_feat(
        model.data_preprocessor(batch, training=False)["inputs"]
    )


def expand(model: Any, cfg: Config) -> nn.Module:
    """Expand the integer neurons of the deployed part of a model to binary spikes.

    Args:
        model: Trained model in evaluation mode; changed in place.
        cfg: Its config.

    Returns:
        A copy of the backbone as it was.

    Raises:
        ValueError: From :func:`snnssl_mm.neurons.expand_to_spikes`.
    """
    integer: nn.Module = copy.deepcopy(model.backbone)
    expand_to_spikes(deployed(model, cfg))
    return integer


def count_images(loader: DataLoader[Any]) -> int:
    """Count the images of a loader of :func:`.unseen_images.unseen_images`."""
    return len(loader.dataset)  # type: ignore[arg-type]


def is_spiking(backbone: nn.Module) -> bool:
    """Tell whether a backbone has time steps or a MixedLIF."""
    neurons = (isinstance(child, MixedNeuron) for child in backbone.modules())
    return hasattr(backbone, "time_steps") or any(neurons)


def require_measurable(model: Any) -> None:
    """Refuse a model whose operations cannot be attributed or compared.

    Raises:
        ValueError: If it has no backbone, or a spiking one without ``time_steps``.
    """
    backbone = getattr(model, BACKBONE, None)
    if backbone is None:
        raise ValueError(
            f"{type(model).__name__} has no backbone to count spikes in; expected a "
            "model of pretraining, classification, detection or segmentation"
        )
    if is_spiking(backbone) and not hasattr(backbone, "time_steps"):
        raise ValueError(
            f"{type(backbone).__name__} has spiking neurons but no attribute "
            "time_steps; set it to the number of steps that the backbone runs per image"
        )


@contextmanager
def one_time_step(backbone: Any) -> Iterator[None]:
    """Make a backbone run a single time step for still images."""
    steps = backbone.time_steps
    backbone.time_steps = 1
    try:
        yield
    finally:
        backbone.time_steps = steps


@torch.no_grad()
def measure_layers(
    model: Any,
    batches: Iterable[Any],
    predict: Callable[[Any], Any],
    images: int,
    single: Any = None,
) -> tuple[list[dict[str, Any]], int]:
    """Count operations and measure input rates of every layer of a model.

    In addition, a spiking backbone runs on the same inputs with one time step, which
    gives the operations of the equal non-spiking network. A spiking neck or head does
    everything T times; an ordinary one receives an average over time, so it is the same
    in both networks. A count n in a frame of events is n spikes, however large.

    Args:
        model: Model with a ``backbone``, in evaluation mode; not changed.
        batches: Batches of :func:`.unseen_images.unseen_images`.
        predict: Forward pass from :func:`prediction`.
        images: Number of images in all batches.
        single: Backbone that is run with one time step, its own by default; for an
            expanded one, see :func:`expand`, the integer network.

    Returns:
        Layers per image, as :mod:`snnssl_mm.recording.energy` describes them, and the
        number of time steps.

    Raises:
        ValueError: From :func:`require_measurable`.
    """
    require_measurable(model)
    backbone = model.backbone
    spiking = is_spiking(backbone)
    single = backbone if single is None else single
    largest = MAX_EVENTS if reads_events(backbone) else MAX_SPIKES
    counter = OperationCounter(model, largest)
    once = OperationCounter(nn.ModuleDict({BACKBONE: single}), largest)
    steps = 1
    for batch in batches:
        calls: list[tuple[Tensor, ...]] = []
        watch = backbone.register_forward_pre_hook(lambda _, x, to=calls: to.append(x))
        with watch, counter:
            predict(batch)
        for (x,) in calls if spiking else ():
            channels = getattr(backbone, "in_channels", 3)
            x = unfold_frames(x, frames_of_clips(backbone), channels)
            clip = x.dim() == 5  # [T, N, C, H, W]
            frames = x.shape[0] * getattr(backbone, "spike_steps", 1)
            steps = frames if clip else backbone.time_steps
            with one_time_step(single), once:
                single(x[:1] if clip else x)
    parts = spiking_parts(model)
    if not spiking:
        parts.discard(BACKBONE)
    layers = []
    for layer in counter.layers:
        counts = layer.name.startswith(tuple(f"{part}." for part in parts))
        macs = layer.macs / (steps if counts else 1)
        if counts and layer.name.startswith(f"{BACKBONE}."):
            # A layer that works between time steps is missing.
            macs = once.found.get(layer.name, LayerOperations(layer.name)).macs
        layers.append(layer_entry(layer, counts, macs, images))
    return layers, steps


def spiking_parts(model: nn.Module) -> set[str]:
    """Name the backbone, and the necks and heads that have spiking neurons.

    The heads of a RoI head are parts of their own, since one alone may spike.
    """
    parts = {BACKBONE}
    for name, module in model.named_modules():
        if isinstance(module, MixedNeuron):
            depth = 2 if name.startswith("roi_head.") else 1
            parts.add(".".join(name.split(".")[:depth]))
    return parts


def layer_entry(
    layer: LayerOperations, spiking: bool, single: float, images: int
) -> dict[str, Any]:
    """Return the results file's entry of one layer, per image.

    Args:
        layer: Operations for all images.
        spiking: Whether the layer belongs to a spiking part.
        single: MACs of the equal non-spiking layer, for all images.
        images: Number of images.
    """
    return {
        "name": layer.name,
        "part": re.split("[. ]", layer.name)[0],
        "kind": layer.kind if spiking else "real",
        "macs": layer.macs / images,
        "rate": layer.rate if spiking else None,
        "non_spiking_macs": single / images,
    }


def backbone_energy_uj(
    model: Any, cfg: Config, loader: DataLoader[Any]
) -> dict[str, float]:
    """Estimate the energy of a pretrained backbone with the first of ``CONSTANTS``.

    Args:
        model: Pretraining model in evaluation mode; not changed.
        cfg: Its config.
        loader: Loader of :func:`.unseen_images.unseen_images`.

    Returns:
        µJ per image: ``'integers_as_spikes'``, ``'integers_as_macs'`` and
        ``'non_spiking'`` (of the equal non-spiking network).

    Raises:
        ValueError: From :func:`require_measurable`.
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
