"""Seeded subsets of labelled datasets; smaller ones are parts of larger ones.

Their size is a fraction of each class, or a number of samples of each class.
"""

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
    replacement, or as many as an integer above 1 says: 10 keeps ten labels a class.
    The same seed draws the same samples in every process and epoch. Fewer are part of
    more: the 1 % of the 10 %, ten a class of thirty a class. For semi-supervised
    training: ``dict(type='snnssl_mm.LabelledFraction', fraction=0.01, dataset=...)``.

    Args:
        dataset: Config of a classification dataset, such as mmpretrain's ``ImageNet``.
        fraction: Fraction to keep, in (0, 1], or number of samples of each class, an
            integer above 1.
        seed: Seed of the draw.

    Returns:
        The dataset with the drawn samples, in their original order.

    Raises:
        ValueError: If ``fraction`` is out of range, a class has fewer samples, or the
            samples have no labels.
    """
    require_fraction(fraction)
    full = DATASETS.build(dict(dataset))
    return full.get_subset(draw_fraction(sample_labels(full), fraction, seed))


def draw_fraction(labels: np.ndarray, fraction: float, seed: int) -> list[int]:
    """Draw a fraction of each class, or so many of each; return sorted indices.

    Args:
        labels: Class of each sample, ``[n]``. With a single class, samples are drawn
            from all.
        fraction: Fraction to keep, in (0, 1], or number of samples of each class, an
            integer above 1.
        seed: Seed of the draw.

    Raises:
        ValueError: If ``fraction`` is out of range, or a class has fewer samples.
    """
    require_fraction(fraction)
    rng = np.random.default_rng(seed)
    kept: list[int] = []
    for label in np.unique(labels):
        samples = rng.permutation(np.flatnonzero(labels == label))
        number = fraction if fraction > 1 else round(fraction * len(samples))
        if number > len(samples):
            raise ValueError(
                f"class {label} has {len(samples)} labelled samples, expected at least "
                f"{fraction:g} of each class; take fewer, or 1.0 for all labels"
            )
        kept += samples[: max(1, int(number))].tolist()
    return sorted(kept)


def require_fraction(fraction: float) -> None:
    """Refuse a fraction that is out of range.

    Raises:
        ValueError: If it is not in (0, 1], and no integer above 1 (samples a class).
    """
    if not 0 < fraction <= 1 and (fraction < 2 or fraction % 1):
        raise ValueError(
            "fraction must be above 0 and at most 1, or an integer above 1 as the "
            f"number of labels a class, got {fraction}; 1 % is 0.01"
        )


@DATASETS.register_module(name="RepeatedFraction")
def repeated_fraction(
    dataset: Mapping[str, Any], fraction: float, seed: int = 0
) -> BaseDataset:
    """Build a dataset and repeat a fraction of its samples up to its full length.

    So an epoch has as many iterations as with all samples, and trainings with few and
    with many labelled images differ in the images only. Samples with one class each are
    drawn as by :func:`labelled_fraction`; others (boxes, masks, label maps) from all n
    that pass the dataset's own filter: max(1, round(fraction n)), or as many as an
    integer above 1 says. Each occurs floor(n / kept) times or once more.

    Args:
        dataset: Config of a dataset of mmpretrain, mmdet or mmseg.
        fraction: Fraction to keep, in (0, 1], or number of samples of each class, an
            integer above 1.
        seed: Seed of the draw.

    Returns:
        The dataset; its attribute ``distinct`` is the number of drawn samples.

    Raises:
        ValueError: If ``fraction`` is out of range.
    """
    require_fraction(fraction)
    full = DATASETS.build(dict(dataset))
    label = full.get_data_info(0).get("gt_label") if len(full) else None
    one_each = label is not None and np.size(label) == 1
    labels = sample_labels(full) if one_each else np.zeros(len(full), np.int64)
    kept = draw_fraction(labels, fraction, seed)
    subset = full.get_subset(np.resize(kept, len(full)).tolist())
    subset.distinct = len(kept)
    return subset


def distinct_samples(dataset: Any) -> int:
    """Count the different samples of a dataset, also inside of wrappers."""
    if (inner := getattr(dataset, "dataset", None)) is not None:
        return distinct_samples(inner)
    if parts := getattr(dataset, "datasets", None):
        return sum(map(distinct_samples, parts))
    return getattr(dataset, "distinct", len(dataset))
