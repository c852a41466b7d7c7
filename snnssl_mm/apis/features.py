"""A pretrained network in a notebook: names, features, spikes.

``list_models``, ``get_model`` and ``FeatureExtractor`` are mmpretrain's, which knows
the models of this package's zoo once this module is imported. Images are files,
folders, PIL images, arrays or tensors of any size, one or several, see
:func:`snnssl_mm.datasets.image_inputs.read_images`.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.apis import FeatureExtractor, ModelHub, list_models
from mmpretrain.apis import get_model as get_mmpretrain_model
from mmpretrain.models import ImageClassifier
from torch import Tensor

from snnssl_mm import compat
from snnssl_mm.apis.loaded_models import load_either, load_pictured_model
from snnssl_mm.apis.model_hub import add_image_pipeline, register_models
from snnssl_mm.checkpoints import zoo
from snnssl_mm.datasets.image_inputs import read_images
from snnssl_mm.neurons import set_path
from snnssl_mm.recording.spike_recording import recorded_spikes

__all__ = [
    "FeatureExtractor",
    "extract_features",
    "get_model",
    "list_models",
    "load_backbone",
    "load_model",
    "record_spikes",
]

register_models()


def get_model(model: Any, pretrained: bool | str | Path = False, **kwargs: Any) -> Any:
    """Get a model by name, config file or config, as mmpretrain's ``get_model`` does.

    Args:
        model: Name such as ``'spikformer-digits_ctl'``, config file, or config.
        pretrained: Whether to load the zoo's weights; or a checkpoint.
        **kwargs: As mmpretrain's: ``device``, or settings of the model, such as
            ``backbone=dict(time_steps=8)``.

    Raises:
        ValueError: If there is no such model, it has no weights to be loaded, or those
            of the checkpoint fit neither it nor its backbone.
    """
    compat.apply()
    if isinstance(model, (str, Path)) and Path(model).suffix == ".py":
        model = Config.fromfile(model)
        if model.get("test_dataloader") or model.get("eval_test_dataloader"):
            add_image_pipeline(model)
    if isinstance(model, str) and not ModelHub.has(model.lower()):
        near = get_close_matches(model.lower(), list_models(), 1)
        meant = f"is {near[0]!r} meant?" if near else "see list_models()"
        raise ValueError(f"there is no model {model!r}; {meant}")
    if pretrained is True:  # else mmpretrain would go on with random weights
        if isinstance(model, Config):
            if not model.get("load_from"):
                raise ValueError(
                    "the config names no weights (load_from); give the checkpoint as "
                    "pretrained=FILE"
                )
            pretrained = model.load_from
        elif model.lower() in zoo.entries():
            zoo.find_weights(model.lower())
    if not isinstance(pretrained, (str, Path)) or kwargs.get("url_mapping"):
        return get_mmpretrain_model(model, pretrained, **kwargs)
    file = zoo.resolve(pretrained)
    network = get_mmpretrain_model(model, file, **kwargs)
    load_either(network, file, whole=True)  # mmpretrain takes what fits
    return network


def load_model(
    model: str | Path, checkpoint: str | Path | None = None, **backbone: Any
) -> Any:
    """Load a network with weights that fit, in evaluation mode on the spiking path.

    Args:
        model: Name of the zoo, or a config file.
        checkpoint: A file, URL or name of the zoo, of the whole model or of its
            backbone; None for the weights of the named model.
        **backbone: Settings of the backbone to be changed, such as ``time_steps=8``.

    Raises:
        ValueError: If a config has no checkpoint, or weights do not fit.
        FileNotFoundError: If a file is missing.
    """
    compat.apply()
    model = str(model).removeprefix(zoo.SCHEME)
    entry = zoo.entries().get(model)
    if entry is None:
        model = os.path.expanduser(model)
        if not Path(model).is_file():
            raise ValueError(zoo.does_not_exist(model))
        if Path(model).suffix not in (".py", ".json", ".yml", ".yaml"):
            raise ValueError(
                f"{model} is no config; give a config or a name of the zoo first, and "
                "the checkpoint after it"
            )
        if checkpoint is None:
            raise ValueError(f"{model} is a config, which needs a checkpoint; give one")
    cfg = Config.fromfile(entry.config if entry else model)
    cfg.model.backbone.update(backbone)
    add_image_pipeline(cfg)
    network = load_pictured_model(cfg, str(checkpoint or model))
    network._config = cfg
    set_path(network.eval(), "spike")
    return network


def load_backbone(
    model: str | Path, checkpoint: str | Path | None = None, **backbone: Any
) -> Any:
    """Load a backbone alone: maps ``[N, C, H, W]`` for normalised images.

    Arguments and errors are those of :func:`load_model`.

    Example:
        >>> backbone = load_backbone("spikformer-digits_ctl", out_indices=(1, 2))
        >>> [tuple(m.shape) for m in backbone(torch.rand(1, 3, 16, 16))]
        [(1, 32, 8, 8), (1, 64, 4, 4)]
    """
    network = load_model(model, checkpoint, **backbone)
    # A model of pretraining keeps the steps apart for its loss.
    network.backbone.time_readout = backbone.get("time_readout", "mean")
    return network.backbone


def network_of(model: Any) -> Any:
    """Return a network that knows how an image comes to it, loaded if it is a name.

    Raises:
        ValueError: If it is none.
    """
    network = load_model(model) if isinstance(model, (str, Path)) else model
    if getattr(network, "_config", None) is None:
        raise ValueError(
            "a model must be a name, or a network of load_model or get_model, got "
            f"{type(model).__name__}"
        )
    return network


def extract_features(model: Any, images: Any, batch_size: int = 64) -> np.ndarray:
    """Features of images: the last map's mean over time and space, ``[n, C]``.

    Each image is brought to the size that the network was trained with.

    Args:
        model: A network of :func:`load_model` or :func:`get_model`, or its name.
        images: One or several, of any kind that
            :func:`snnssl_mm.datasets.image_inputs.read_images` takes: files, folders
            (in the order of the files' names), PIL images, uint8 arrays ``[H, W, 3]``
            in RGB, tensors ``[N, 3, H, W]`` from 0 to 1, generators of these, ...
        batch_size: How many to read and compute at a time.

    Raises:
        ValueError: If there is no image, or one cannot be read.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    network = network_of(model)
    # A classifier stops at its neck unless told otherwise.
    stage = {"stage": "backbone"} if isinstance(network, ImageClassifier) else {}
    extractor = FeatureExtractor(network)
    features: list[Tensor] = []
    found = read_images(images)
    while batch := list(islice(found, batch_size)):
        maps = extractor(batch, batch_size=batch_size, **stage)
        features += [m[-1].mean((-2, -1)) for m in maps]
    return torch.stack(features).cpu().numpy()


@torch.no_grad()
def record_spikes(model: Any, image: Any) -> dict[str, Tensor]:
    """Spikes of every neuron layer for one image.

    Args:
        model: As in :func:`extract_features`.
        image: One, of any kind that :func:`extract_features` takes.

    Returns:
        By the name of the neuron, in the order of firing: ``[T, C, H, W]`` of a
        convolution's neurons, ``[T, ...]`` of attention's, boolean.
    """
    network = network_of(model)
    if len(found := list(islice(read_images(image), 2))) != 1:
        raise ValueError("record_spikes takes one image, got 2 or more")
    with recorded_spikes(network.backbone) as fired:
        FeatureExtractor(network)(found)
    return fired
