"""The same two views of the same images, every time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

BATCH_SIZE = 64
Batch = dict[str, Any]
Collate = Callable[[list[Any]], Batch]


@contextmanager
def random_state_kept(seed: int | None = None) -> Iterator[None]:
    """Put the global random states back on leaving: Python's, NumPy's, torch's.

    Args:
        seed: What they start from inside; None leaves them as they are.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


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
        with random_state_kept(seed + first):
            batch = collate(
                [dataset[int(index)] for index in indices[first : first + BATCH_SIZE]]
            )
        if not isinstance(batch["inputs"], list) or len(batch["inputs"]) != 2:
            raise ValueError(
                "representation health needs two views of each image; use a two-view "
                "pipeline such as that of configs/_base_/datasets/digit_scenes.py"
            )
        yield batch
