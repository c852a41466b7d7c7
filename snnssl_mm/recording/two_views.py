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
    """Yield batches of two views, which depend on the arguments only.

    The images are spread evenly over the dataset. While a view is drawn, the global
    random states are the iterator's own; everybody else sees them unchanged.

    Args:
        dataset: With a pipeline of two views.
        collate: Of its data loader: turns samples into a batch.
        num_images: How many; all of a smaller dataset.
        seed: Of the views.

    Raises:
        ValueError: If that is fewer than 2 images, or an image has not two views.
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
        if not isinstance(batch["inputs"], list) or len(batch["inputs"]) != 2:
            raise ValueError(
                "representation health needs two views of each image; use a two-view "
                "pipeline such as that of configs/_base_/datasets/digit_scenes.py"
            )
        yield batch
