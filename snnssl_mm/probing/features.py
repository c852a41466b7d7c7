"""Frozen, fully spiking features of labelled images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import revert_sync_batchnorm
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from snnssl_mm.datasets.labelled_fraction import draw_fraction
from snnssl_mm.models.clips import samples_first
from snnssl_mm.probing.labelled_images import Loaders
from snnssl_mm.probing.probe_models import Model
from snnssl_mm.recording.bn_statistics import reestimated
from snnssl_mm.recording.progress import progress as shown_progress

RAW_SIDE = 32


class Arrays(NamedTuple):
    """Features ``[n, C]`` and labels ``[n]`` of the same images."""

    features: np.ndarray
    labels: np.ndarray


class LabelledFeatures(NamedTuple):
    """Features and labels of a training and a test set."""

    train: Arrays
    test: Arrays

    def fraction(self, fraction: float, seed: int) -> LabelledFeatures:
        """Keep a fraction of each class's training images, or so many of each class.

        They are those of ``snnssl_mm.LabelledFraction``, drawn by the seed.
        """
        if fraction == 1:
            return self
        kept = draw_fraction(self.train.labels, fraction, seed)
        train = Arrays(self.train.features[kept], self.train.labels[kept])
        return self._replace(train=train)


def prepared_inputs(
    model: Model, loader: Iterable[Any], progress: str = ""
) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield ``(inputs, labels)`` of a labelled loader, normalised, on the device.

    Args:
        model: The model; its data preprocessor is used.
        loader: Loader of labelled images.
        progress: Text of a progress bar with the remaining time; no bar if empty.
    """
    batches = shown_progress(loader, progress) if progress else loader
    for batch in batches:
        data = model.data_preprocessor(batch, training=False)
        labels = [int(sample.gt_label) for sample in data["data_samples"]]
        yield data["inputs"], labels


@torch.no_grad()
def compute_features(
    model: Model,
    loader: Iterable[Any],
    features_of: Callable[[Tensor], Tensor],
    progress: str = "",
) -> Arrays:
    """Compute ``features_of(inputs)`` ``[N, C]`` over a labelled loader."""
    features: list[np.ndarray] = []
    labels: list[int] = []
    for inputs, batch_labels in prepared_inputs(model, loader, progress):
        features.append(features_of(inputs).float().cpu().numpy())
        labels += batch_labels
    return Arrays(np.concatenate(features), np.array(labels))


@torch.no_grad()
def recalibrate(model: Model, loader: Iterable[Any], progress: str = "") -> None:
    """Re-estimate the backbone's BatchNorm statistics on the spiking path.

    In training the statistics average over the spiking and the analog path, but
    evaluation runs the spiking path only. The new statistics are averages over all
    batches of ``loader``; frozen layers keep theirs.
    """
    model.eval()  # neurons are on path 'spike'
    with reestimated(model.backbone):
        for inputs, _ in prepared_inputs(model, loader, progress):
            model.extract_feat(inputs)


def pooled_features(model: Model, loader: Iterable[Any], progress: str = "") -> Arrays:
    """Compute the backbone's last map, averaged over time and space, and labels."""

    def pooled(inputs: Tensor) -> Tensor:
        maps: Tensor = model.extract_feat(inputs)[-1]
        if maps.dim() != 4:
            raise ValueError(
                f"{type(model).__name__} gives features {tuple(maps.shape)}, expected "
                "maps [N, C, H, W] of a backbone; give the config of the pretraining"
            )
        return maps.mean(dim=(-2, -1))

    return compute_features(model, loader, pooled, progress)


def labelled_features(
    model: Model, loaders: Loaders, recalibrate_bn: bool = True
) -> LabelledFeatures:
    """Compute spiking features: the last map, averaged over time and space.

    Args:
        model: A DualPathSSL; not changed.
        loaders: Loaders of labelled training and test images.
        recalibrate_bn: Whether to re-estimate the BatchNorm statistics first.
    """
    model = revert_sync_batchnorm(copy.deepcopy(model)).eval()
    if recalibrate_bn:
        recalibrate(model, loaders.train)
    return LabelledFeatures(*(pooled_features(model, loader) for loader in loaders))


def raw_pixels(model: Model, loaders: Loaders) -> LabelledFeatures:
    """Return images as features, average-pooled to at most 32 x 32 (no network)."""
    train, test = (compute_features(model, loader, flat_pixels) for loader in loaders)
    return LabelledFeatures(train, test)


def flat_pixels(inputs: Tensor) -> Tensor:
    """Flatten images or clips to ``[N, ...]``, average-pooled to at most 32 x 32."""
    height, width = (min(side, RAW_SIDE) for side in inputs.shape[-2:])
    samples = samples_first(inputs)
    frames = samples.flatten(0, -4)  # of clips; images have no axis to join
    return adaptive_avg_pool2d(frames, (height, width)).reshape(len(samples), -1)
