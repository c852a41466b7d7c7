"""Data loaders of a config's labelled images."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, SequentialSampler

MAX_PROBE_SAMPLES = 50_000
EVAL_LOADERS = ("eval_train_dataloader", "eval_test_dataloader")


class Loaders(NamedTuple):
    """Data loaders of labelled training and test images."""

    train: DataLoader
    test: DataLoader


def has_labelled_images(cfg: Config) -> bool:
    """Tell whether a config defines labelled training and test images."""
    return all(cfg.get(name) is not None for name in EVAL_LOADERS)


def eval_loaders(cfg: Config, all_test_images: bool = False) -> Loaders:
    """Build a config's ``eval_train_dataloader`` and ``eval_test_dataloader``.

    Every process gets all samples; the caller decides which process computes.

    Args:
        cfg: Config. Datasets are limited to its ``max_probe_samples`` (default
            50,000), evenly spread.
        all_test_images: Whether to limit only the training images.

    Raises:
        ValueError: If the config has no labelled images, if its images have no labels,
            or if training and test images have different classes.
    """
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    if not has_labelled_images(cfg):
        raise ValueError(
            "the config has no labelled images; give a folder of labelled images by "
            f"--data, or set {' and '.join(EVAL_LOADERS)} as "
            "configs/_base_/datasets/digit_scenes.py does"
        )
    max_samples = cfg.get("max_probe_samples", MAX_PROBE_SAMPLES)
    loaders = []
    for name in EVAL_LOADERS:
        settings = copy.deepcopy(cfg[name])
        dataset = DATASETS.build(settings.dataset)
        require_labels(dataset, f"{name}.dataset")
        unlimited = all_test_images and name == "eval_test_dataloader"
        if len(dataset) > max_samples and not unlimited:
            chosen = np.linspace(0, len(dataset) - 1, max_samples).astype(int)
            dataset = dataset.get_subset(chosen.tolist())
        settings.dataset = dataset
        settings.sampler = SequentialSampler(dataset)
        loaders.append(Runner.build_dataloader(settings, seed=0))
    train, test = loaders
    require_same_classes(class_names(train.dataset), class_names(test.dataset))
    return Loaders(train, test)


def class_names(dataset: Any) -> tuple[str, ...]:
    """Return the names of a dataset's classes; empty if it has none."""
    return tuple(dataset.metainfo.get("classes") or ())


def class_count(loaders: Loaders) -> int:
    """Return the number of class names, or the largest label plus one."""
    datasets: list[Any] = [loader.dataset for loader in loaders]
    named = class_names(datasets[0])
    if named:
        return len(named)
    return 1 + max(
        int(dataset.get_data_info(index)["gt_label"])
        for dataset in datasets
        for index in range(len(dataset))
    )


def require_labels(dataset: Any, where: str) -> None:
    """Refuse a dataset whose first image has no label.

    Args:
        dataset: The dataset.
        where: Its key in the config, for the message.

    Raises:
        ValueError: If the dataset is empty or has no labels.
    """
    label = dataset.get_data_info(0).get("gt_label") if len(dataset) else None
    if label is None:
        found = "images without labels" if len(dataset) else "no images"
        raise ValueError(
            f"{where} ({type(dataset).__name__}) has {found}; a probe needs a class "
            "(gt_label) for each image: sort the images into one folder per class, or "
            "give snnssl_mm.ImageFolder a label_file"
        )


def require_same_classes(train: tuple[str, ...], test: tuple[str, ...]) -> None:
    """Refuse training and test images whose labels mean different classes.

    Raises:
        ValueError: If the class names or their order differ; it names the first ones.
    """
    if train == test:
        return
    differences = [
        f"only {name} images have {', '.join(sorted(set(some) - set(others))[:5])}"
        for name, some, others in (("training", train, test), ("test", test, train))
        if set(some) - set(others)
    ]
    if not differences:
        differences = [f"in another order: {list(train[:5])} and {list(test[:5])}"]
    raise ValueError(
        "training and test images have different classes, so their labels do not mean "
        f"the same; {'; '.join(differences)}. Sort both into the same class folders "
        "(one may be empty), or name all classes by metainfo=dict(classes=[...])"
    )
