"""Deterministic batches of two views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from snnssl_mm.checkpoints.random_states import random_states_kept

BATCH_SIZE = 64
Batch = dict[str, Any]
Collate = Callable[[list[Any]], Batch]


def two_view_batches(
    dataset: Sequence[Any],
    collate: Collate,
    num_images: int,
    seed: int = 0,
) -> Iterator[Batch]:
    """Yield batches of two views that depend only on the arguments.

    Of more views, the two are the first spiking and the first analog one. The images
    are spread evenly over the dataset. The views are drawn from random states of the
    iterator's own; the global ones are restored after each batch.

    Args:
        dataset: Dataset with a two-view pipeline.
        collate: Collate function of its data loader.
        num_images: Number of images; a smaller dataset is used completely.
        seed: Seed of the views.

    Raises:
        ValueError: If there are fewer than 2 images, or samples have a single view.
    """
    count = min(num_images, len(dataset))
    if count < 2:
        raise ValueError(
            f"representation health compares images and needs at least 2, got {count}"
        )
    indices = np.linspace(0, len(dataset) - 1, count).astype(int)
    for first in range(0, count, BATCH_SIZE):
        with random_states_kept(seed + first):
            batch = collate(
                [dataset[int(index)] for index in indices[first : first + BATCH_SIZE]]
            )
        views = batch["inputs"]
        if not isinstance(views, list) or len(views) < 2:
            raise ValueError(
                "representation health needs two views of each image; use a two-view "
                "pipeline such as that of configs/_base_/datasets/digit_scenes.py"
            )
        whole = [view for view in views if view.shape == views[0].shape]
        yield {**batch, "inputs": [whole[0], whole[len(whole) // 2]]}
