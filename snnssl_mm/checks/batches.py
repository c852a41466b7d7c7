"""Batches of a data loader: their sizes, their samples loaded in this process."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader

from snnssl_mm.datasets.data_error import (
    PreflightError,
    file_of,
    sample_info,
    sampled,
    shortened,
    step,
)


def process_batch_size(loader: DataLoader) -> int:
    """Return the number of images in a batch of one process."""
    batches: Any = loader.batch_sampler
    return int(getattr(batches, "batch_size", 1))


def last_batch(loader: DataLoader) -> int:
    """Return the size of the smaller batch that ends an epoch; 0 if there is none."""
    batches: Any = loader.batch_sampler
    sampler: Any = getattr(batches, "sampler", loader.sampler)
    if getattr(batches, "drop_last", True) or isinstance(sampler, InfiniteSampler):
        return 0
    return len(sampler) % process_batch_size(loader)


def spread(length: int, count: int) -> list[int]:
    """Return indices that are evenly spread over a dataset."""
    return sampled(range(length), count)


def batch_of(loader: DataLoader, indices: Sequence[int], where: str) -> Any:
    """Load and collate samples in this process, with copies of the transforms."""
    dataset: Any = loader.dataset
    samples = []
    with pipelines_copied(dataset):
        for index in indices:
            path = image_names(dataset, [index])[0]
            with step(f"{where}: the transforms of {path}", PreflightError):
                samples.append(dataset[index])
    collate: Any = loader.collate_fn
    with step(f"{where}: collating {shortened(image_names(dataset, indices), 2)}"):
        return collate(samples)


@contextlib.contextmanager
def pipelines_copied(dataset: Any) -> Iterator[None]:
    """Use copies of the transforms of a dataset and of those that it wraps."""
    owners = [one for one in inner_datasets(dataset) if hasattr(one, "pipeline")]
    pipelines = [owner.pipeline for owner in owners]
    for owner in owners:
        owner.pipeline = copy.deepcopy(owner.pipeline)
    try:
        yield
    finally:
        for owner, pipeline in zip(owners, pipelines, strict=True):
            owner.pipeline = pipeline


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """Yield a dataset and those that it wraps."""
    yield dataset
    for inner in (getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())):
        if inner is not None:
            yield from inner_datasets(inner)


def info_of(dataset: Any, index: int) -> Any:
    """Return a dataset's info of a sample; an empty dict if it has none."""
    try:
        return sample_info(dataset, index)
    except Exception:  # datasets without files may raise anything
        return {}


def image_names(dataset: Any, indices: Sequence[int]) -> list[str]:
    """Name samples by their image or recording files, or by their indices."""
    return [
        str(file_of(info_of(dataset, index)) or f"sample {index}") for index in indices
    ]
