"""Subset of a labelled dataset with the same fraction of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from snnssl_mm.registry import DATASETS


def sample_labels(dataset: BaseDataset) -> np.ndarray:
    """Return the class of each sample, integers ``[len(dataset)]``.

    Raises:
        ValueError: If a sample has no label, or several.
    """
    labels = []
    for index in range(len(dataset)):
        label = dataset.get_data_info(index).get("gt_label")
        if label is None or np.size(label) != 1:
            found = "no label" if label is None else f"the labels {label}"
            raise ValueError(
                f"LabelledFraction needs one label (gt_label) per sample, but sample "
                f"{index} of {type(dataset).__name__} has {found}; use a "
                "single-label classification dataset, and with_label=True in "
                "CustomDataset"
            )
        labels.append(int(np.reshape(label, ())))
    return np.array(labels, dtype=np.int64)


@DATASETS.register_module(name="LabelledFraction")
def labelled_fraction(
    dataset: Mapping[str, Any], fraction: float, seed: int = 0
) -> BaseDataset:
    """Build a labelled dataset and keep a fraction of each class.

    Of the n samples of a class, max(1, round(fraction n)) are drawn without
    replacement. The same seed draws the same samples in every process and epoch. A
    smaller fraction gives a subset: the 1 % are part of the 10 %. For semi-supervised
    training: ``dict(type='snnssl_mm.LabelledFraction', fraction=0.01, dataset=...)``.

    Args:
        dataset: Config of a classification dataset, such as mmpretrain's ``ImageNet``.
        fraction: Fraction to keep, in (0, 1].
        seed: Seed of the draw.

    Returns:
        The dataset with the drawn samples, in their original order.

    Raises:
        ValueError: If ``fraction`` is out of range or the samples have no labels.
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            f"fraction must be above 0 and at most 1, got {fraction}; 1 % is 0.01"
        )
    full = DATASETS.build(dict(dataset))
    labels = sample_labels(full)
    rng = np.random.default_rng(seed)
    kept: list[int] = []
    for label in np.unique(labels):
        samples = rng.permutation(np.flatnonzero(labels == label))
        kept += samples[: max(1, round(fraction * len(samples)))].tolist()
    return full.get_subset(sorted(kept))
