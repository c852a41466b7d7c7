"""Evenly spread test images of a config."""

from __future__ import annotations

import copy

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, SequentialSampler, Subset

from snnssl_mm.checks.data import check_data, silent

TEST_LOADERS = ("test_dataloader", "eval_test_dataloader")
"""Loaders of test images: of downstream tasks, and of pretraining."""


def is_pretraining(cfg: Config) -> bool:
    """Tell whether a config is for pretraining (its model computes only features)."""
    return cfg.get(TEST_LOADERS[0]) is None


def unseen_images(cfg: Config, images: int) -> DataLoader:
    """Build the loader of a config's test images, evenly spread over the set.

    Args:
        cfg: Config of pretraining (``eval_test_dataloader``), classification,
            detection or segmentation (``test_dataloader``).
        images: Number of images; fewer if the set is smaller.

    Raises:
        ValueError: If the config has no test images, or ``images`` is below 1.
    """
    if images < 1:
        raise ValueError(f"expected at least 1 image, got {images}; raise --images")
    name = next((n for n in TEST_LOADERS if cfg.get(n) is not None), None)
    if name is None:
        raise ValueError(
            f"the config has no unseen images; set {' or '.join(TEST_LOADERS)} as "
            "configs/_base_/datasets/digit_scenes.py does"
        )
    with silent():
        check_data(cfg, [name])
    init_default_scope(cfg.get("default_scope") or "mmengine")
    settings = copy.deepcopy(cfg[name])
    dataset = DATASETS.build(settings.dataset)
    count = min(images, len(dataset))
    chosen = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
    settings.dataset = Subset(dataset, chosen)
    settings.sampler = SequentialSampler(settings.dataset)
    settings.pop("batch_sampler", None)
    loader: DataLoader = Runner.build_dataloader(settings, seed=0)
    return loader
