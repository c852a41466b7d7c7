"""Pretrained networks by name, features of images and recorded spikes.

``list_models`` and ``FeatureExtractor`` are mmpretrain's, which know the models of this
package's zoo once this module is imported.
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

register_models()


def get_model(model: Any, pretrained: bool | str | Path = False, **kwargs: Any) -> Any:
    """Get a model by name, config file or config, as mmpretrain's ``get_model`` does.

    Args:
        model: Name such as ``'spikformer-digits_ctl'``, config file, or config.
        pretrained: Whether to load the zoo's weights; or a checkpoint.
        **kwargs: Arguments of mmpretrain's function: ``device``, or settings of the
            model, such as ``backbone=dict(time_steps=8)``.

    Raises:
        ValueError: If the model does not exist or has no weights, or the checkpoint
            fits neither the model nor its backbone.
    """
    compat.apply()
    if isinstance(model, (str, Path)) and Path(model).suffix == ".py":
        model = Config.fromfile(model)
        if model.get("test_dataloader") or model.get("eval_test_dataloader"):
            add_image_pipeline(model)
    if isinstance(model, str) and not ModelHub.has(model.lower()):
        near = get_close_matches(model.lower(), list_models(), 1)
        hint = f"did you mean {near[0]!r}?" if near else "see list_models()"
        raise ValueError(f"there is no model {model!r}; {hint}")
    if pretrained is True:  # without weights, mmpretrain would keep random ones
        if isinstance(model, Config):
            if not model.get("load_from"):
                raise ValueError(
                    "the config has no weights (load_from); give the checkpoint as "
                    "pretrained=FILE"
                )
            pretrained = model.load_from
        elif model.lower() in zoo.entries():
            zoo.find_weights(model.lower())
    if not isinstance(pretrained, (str, Path)) or kwargs.get("url_mapping"):
        return get_mmpretrain_model(model, pretrained, **kwargs)
    file = zoo.resolve(pretrained)
    network = get_mmpretrain_model(model, file, **kwargs)
    load_either(network, file, warn_of_head=True)  # strict, unlike mmpretrain
    return network


def load_model(
    model: str | Path, checkpoint: str | Path | None = None, **backbone: Any
) -> Any:
    """Load a network strictly, in evaluation mode on the spiking path.

    Args:
        model: Name in the zoo, or a config file.
        checkpoint: File, URL or name in the zoo, of the complete model or its backbone;
            None for the zoo's weights of a named model.
        **backbone: Settings of the backbone to change, such as ``time_steps=8``.

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
                f"{model} is not a config; give a config or a name in the zoo first, "
                "and the checkpoint after it"
            )
        if checkpoint is None:
            raise ValueError(
                f"{model} is a config, which has no weights; give a checkpoint, too"
            )
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
    """Load only the backbone; it computes maps ``[N, C, H, W]`` of normalised images.

    Arguments and errors are those of :func:`load_model`.

    Example:
        >>> backbone = load_backbone("spikformer-digits_ctl", out_indices=(1, 2))
        >>> [tuple(m.shape) for m in backbone(torch.rand(1, 3, 16, 16))]
        [(1, 32, 8, 8), (1, 64, 4, 4)]
    """
    network = load_model(model, checkpoint, **backbone)
    # A pretraining model keeps the time axis for its loss.
    network.backbone.time_readout = backbone.get("time_readout", "mean")
    return network.backbone


def network_of(model: Any) -> Any:
    """Return a network that has its config (to prepare images), loaded if a name.

    Raises:
        ValueError: If it is neither a name nor such a network.
    """
    network = load_model(model) if isinstance(model, (str, Path)) else model
    if getattr(network, "_config", None) is None:
        raise ValueError(
            "a model must be a name, or a network of load_model or get_model, got "
            f"{type(model).__name__}"
        )
    return network


def extract_features(model: Any, images: Any, batch_size: int = 64) -> np.ndarray:
    """Compute features of images: the last map, averaged over time and space.

    Each image is resized to the size that the network was trained on.

    Args:
        model: A network of :func:`load_model` or :func:`get_model`, or its name.
        images: One or several images of any kind that
            :func:`snnssl_mm.datasets.image_inputs.read_images` accepts: files, folders
            (sorted by name), PIL images, uint8 arrays ``[H, W, 3]`` in RGB, tensors
            ``[N, 3, H, W]`` from 0 to 1, generators of these, ...
        batch_size: Number of images to read and compute at a time.

    Returns:
        Features ``[n, C]``.

    Raises:
        ValueError: If there is no image, or one cannot be read.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    network = network_of(model)
    # By default a classifier returns the output of its neck.
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
    """Record the spikes of every neuron layer for one image.

    Args:
        model: As in :func:`extract_features`.
        image: One image of any kind that :func:`extract_features` accepts.

    Returns:
        Boolean spikes by the name of the neuron, in the order of execution:
        ``[T, C, H, W]`` after a convolution, ``[T, ...]`` in attention.
    """
    network = network_of(model)
    if len(found := list(islice(read_images(image), 2))) != 1:
        raise ValueError("record_spikes takes one image, got 2 or more")
    with recorded_spikes(network.backbone) as fired:
        FeatureExtractor(network)(found)
    return fired
