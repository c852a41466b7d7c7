"""A pretrained network in a notebook: names, features, spikes.

``list_models``, ``get_model`` and ``FeatureExtractor`` are mmpretrain's, which knows
the models of this package's zoo once this module is imported. Images are files,
folders, or arrays as PIL and matplotlib have them: RGB or grey, ``uint8``, of any size.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.apis import FeatureExtractor, list_models
from mmpretrain.apis import get_model as get_mmpretrain_model
from mmpretrain.models import ImageClassifier
from torch import Tensor

from snnssl_mm import zoo
from snnssl_mm.analysis.spike_recording import recorded_spikes
from snnssl_mm.datasets.image_folder import check_image
from snnssl_mm.inference import find_images
from snnssl_mm.loaded_models import load_pictured_model
from snnssl_mm.model_hub import add_image_pipeline, register_models
from snnssl_mm.neurons import set_path

__all__ = [
    "FeatureExtractor",
    "extract_features",
    "get_model",
    "list_models",
    "load_backbone",
    "load_model",
    "record_spikes",
]
Images = str | Path | np.ndarray | Iterable[str | Path | np.ndarray]

register_models()


def get_model(model: Any, pretrained: bool | str = False, **kwargs: Any) -> Any:
    """Get a model by name, config file or config, as mmpretrain's ``get_model`` does.

    Args:
        model: Name such as ``'spikformer-digits_ctl'``, config file, or config.
        pretrained: Whether to load the zoo's weights; or a checkpoint.
        **kwargs: As mmpretrain's: ``device``, or settings of the model, such as
            ``backbone=dict(time_steps=8)``.

    Raises:
        ValueError: If there is no such model, or it has no weights to be loaded.
    """
    if isinstance(model, (str, Path)) and Path(model).suffix == ".py":
        model = Config.fromfile(model)
        if model.get("test_dataloader") or model.get("eval_test_dataloader"):
            add_image_pipeline(model)
    if pretrained is True:  # else mmpretrain would go on with random weights
        if isinstance(model, Config):
            if not model.get("load_from"):
                raise ValueError(
                    "the config names no weights (load_from); give the checkpoint as "
                    "pretrained=FILE"
                )
        elif model.lower() in zoo.entries():
            zoo.find_weights(model.lower())
    return get_mmpretrain_model(model, pretrained, **kwargs)


def load_model(model: str, checkpoint: str | None = None, **backbone: Any) -> Any:
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
    entry = zoo.entries().get(model)
    if entry is None and checkpoint is None:
        raise ValueError(
            f"{model!r} is no name of the zoo, and a config needs a checkpoint; with "
            f"weights: {zoo.names_with_weights()}"
        )
    cfg = Config.fromfile(entry.config if entry else model)
    cfg.model.backbone.update(backbone)
    add_image_pipeline(cfg)
    network = load_pictured_model(cfg, checkpoint or model)
    network._config = cfg
    set_path(network.eval(), "spike")
    return network


def load_backbone(model: str, checkpoint: str | None = None, **backbone: Any) -> Any:
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


def extract_features(model: Any, images: Images, batch_size: int = 64) -> np.ndarray:
    """Features of images: the last map's mean over time and space, ``[n, C]``.

    Each image is brought to the size that the network was trained with.

    Args:
        model: A network of :func:`load_model` or :func:`get_model`, or its name.
        images: An image, a folder of them (in the order of their names), or several.
        batch_size: How many to compute at a time.

    Raises:
        ValueError: If there is no image, or one cannot be read.
    """
    network = load_model(model) if isinstance(model, str) else model
    # A classifier stops at its neck unless told otherwise.
    stage = {"stage": "backbone"} if isinstance(network, ImageClassifier) else {}
    extractor = FeatureExtractor(network)
    maps = extractor(read_images(images), batch_size=batch_size, **stage)
    return torch.stack([m[-1].mean((-2, -1)) for m in maps]).cpu().numpy()


@torch.no_grad()
def record_spikes(model: Any, image: str | Path | np.ndarray) -> dict[str, Tensor]:
    """Spikes of every neuron layer for one image.

    Args:
        model: As in :func:`extract_features`.
        image: A file or an array.

    Returns:
        By the name of the neuron, in the order of firing: ``[T, C, H, W]`` of a
        convolution's neurons, ``[T, ...]`` of attention's, boolean.
    """
    network = load_model(model) if isinstance(model, str) else model
    if len(found := read_images(image)) != 1:
        raise ValueError(f"record_spikes takes one image, got {len(found)}")
    with recorded_spikes(network.backbone) as fired:
        FeatureExtractor(network)(found)
    return fired


def read_images(images: Images) -> list[Any]:
    """Files as they are, checked; arrays as OpenCV has them, BGR.

    Raises:
        ValueError: If there is none, or one is no image.
    """
    if isinstance(images, (str, Path)):
        images = find_images(Path(images))
    elif isinstance(images, np.ndarray) and images.ndim < 4:
        images = [images]
    found = [read_image(image) for image in images]
    if not found:
        raise ValueError("there is no image; give files, a folder or arrays")
    return found


def read_image(image: str | Path | np.ndarray) -> Any:
    """One image of :func:`read_images`."""
    if isinstance(image, np.ndarray):
        grey = image.ndim == 2
        if image.dtype != np.uint8 or not (grey or image.shape[-1:] == (3,)):
            raise ValueError(
                "an array must be uint8 [H, W] or RGB [H, W, 3], got "
                f"{image.dtype} {list(image.shape)}"
            )
        channels = np.stack([image] * 3, axis=-1) if grey else image[..., ::-1]
        return np.ascontiguousarray(channels)
    if fault := check_image(str(image), decode=True):
        raise ValueError(f"cannot read {fault}")
    return str(image)
