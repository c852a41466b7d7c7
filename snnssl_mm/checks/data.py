"""Whether a config's datasets fit its model, found out before any time is spent."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import DataLoader

from snnssl_mm.checks.coco import check_coco
from snnssl_mm.checks.data_error import (
    DataError,
    require_file,
    require_folder,
    shortened,
)
from snnssl_mm.checks.masks import check_masks

LOADERS = ("train_dataloader", "val_dataloader")
COVERED = {"CocoDataset", "BaseSegDataset", "CustomDataset"}
MAX_FILES = 200  # files looked at in each dataset, evenly spread


def check_data(cfg: Config, loaders: Sequence[str] = LOADERS) -> None:
    """Refuse datasets that do not fit the model or are not there.

    Reads annotation files and a sample of the masks, builds no model, and runs before
    the datasets are built: those of mmdet drop annotations of unknown categories and
    then fail for want of images. Covers mmdet's CocoDataset, mmseg's BaseSegDataset
    and mmpretrain's CustomDataset with their subclasses, also inside wrappers; other
    datasets pass. Of several processes the first checks.

    Args:
        cfg: Config of any scope.
        loaders: Names of the data loaders to look at; missing ones are passed over.

    Raises:
        DataError: A sentence that names what was found, what was expected, the cure.
    """
    if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))):
        return
    init_default_scope(cfg.get("default_scope") or "mmengine")
    numbered: dict[str, list[str]] = {}
    for name in loaders:
        for settings in leaf_datasets((cfg.get(name) or {}).get("dataset")):
            where = f"{name}.dataset"
            classes = check_dataset(cfg, settings, where)
            if classes:
                numbered[where] = classes
    check_numbering(numbered)


def check_numbering(numbered: dict[str, list[str]]) -> None:
    """Refuse detection datasets that number the same classes differently.

    mmdet numbers the classes that an annotation file has, without a gap for one that it
    lacks.

    Raises:
        DataError: It names two datasets and their classes.
    """
    first, *others = numbered.items() or [("", [])]
    for where, classes in others:
        if classes != first[1]:
            raise DataError(
                f"{first[0]} numbers its classes {shortened(first[1])}, {where} "
                f"{shortened(classes)}: a class would be taken for another. Name all "
                "classes in the categories of both annotation files"
            )


def check_dataset(cfg: Config, settings: Any, where: str) -> list[str] | None:
    """Check one dataset, given by its settings and its place in the config.

    Returns:
        A COCO dataset's classes as mmdet numbers them, None for others.
    """
    with DATASETS.switch_scope_and_registry(settings.get("_scope_")) as registry:
        kind = settings["type"]
        found = registry.get(kind) if isinstance(kind, str) else kind
    bases = {base.__name__ for base in getattr(found, "__mro__", ())}
    elsewhere = settings.get("backend_args") or "://" in str(settings.get("data_root"))
    if elsewhere or not bases & COVERED or not reads_files(found):
        return None
    lazy = {**copy.deepcopy(settings), "lazy_init": True, "pipeline": []}
    dataset = DATASETS.build(lazy)
    if dataset.ann_file:
        require_file(dataset.ann_file, where)
    if "CustomDataset" in bases:
        require_folder(dataset.img_prefix, where)
        return None
    for prefix in filter(None, dataset.data_prefix.values()):
        require_folder(prefix, where)
    heads = dict(class_counts(cfg.get("model")))
    if "BaseSegDataset" in bases:
        check_masks(dataset, heads, ignored_label(cfg.model), where, MAX_FILES)
    elif (
        found.load_data_list.__qualname__ == "CocoDataset.load_data_list"
        and "CocoPanopticDataset" not in bases  # things and stuff: counted otherwise
    ):
        explicit = "classes" in (settings.get("metainfo") or {})
        known, notes = check_coco(dataset, heads, explicit, where, MAX_FILES)
        for note in notes:
            print_log(note, logger="current")
        return known
    return None


def reads_files(kind: type) -> bool:
    """Whether a class lists its samples as OpenMMLab's do.

    Ours make their files first, or have sentences of their own; a user's may do
    anything, unless it only renames the classes.
    """
    listing = getattr(kind, "load_data_list", kind).__module__
    stock = listing.startswith(("mmdet.", "mmseg.", "mmpretrain."))
    return stock and not kind.__module__.startswith("snnssl_mm.")


def leaf_datasets(settings: Any) -> Iterator[Any]:
    """Settings of the datasets that read files, inside wrappers such as Repeat."""
    if not isinstance(settings, dict):
        return
    inner = [settings.get("dataset"), *(settings.get("datasets") or ())]
    if any(isinstance(part, dict) for part in inner):
        for part in inner:
            yield from leaf_datasets(part)
    elif "type" in settings:
        yield settings


def class_counts(model: Any, name: str = "model") -> Iterator[tuple[str, int]]:
    """``num_classes`` of a model's heads, by the names that they have in the config.

    Heads that learn other things do not count: region proposals know foreground only,
    auxiliary ones of HTC and STDC stuff and edges.
    """
    if isinstance(model, (list, tuple)):
        for index, part in enumerate(model):
            yield from class_counts(part, f"{name}[{index}]")
    elif isinstance(model, dict):
        last = name.rpartition(".")[2].partition("[")[0]
        other = last in ("rpn_head", "semantic_head") or model.get("type") == "STDCHead"
        if last.endswith("head") and not other and "num_classes" in model:
            yield f"{name}.num_classes", model["num_classes"]
        for key, part in model.items():
            yield from class_counts(part, f"{name}.{key}")


def ignored_label(model: Any) -> int | None:
    """Label that a segmentor's loss passes over."""
    head = model.get("decode_head") or {}
    label: int | None = (head[-1] if isinstance(head, list) else head).get(
        "ignore_index", 255
    )
    return label


def check_batches(loader: DataLoader) -> None:
    """Refuse a dataset that does not fill one batch, and unequal shares of it.

    Every process must call it.

    Raises:
        DataError: In every process, if the training would see nothing in one of them,
            or if one would have fewer batches and leave the others waiting.
    """
    dataset: Any = loader.dataset
    batches = all_gather_object(len(loader))
    if len(set(batches)) > 1:
        counts = ", ".join(f"{n} in process {rank}" for rank, n in enumerate(batches))
        raise DataError(
            "every process needs the same number of training batches, got "
            f"{counts}; take a sampler that gives each as many images "
            "(DefaultSampler with round_up=True)"
        )
    if len(dataset) == 0:
        raise DataError(
            "no training image is left after the dataset's filter_cfg; are there "
            "annotations in train_dataloader.dataset.ann_file?"
        )
    if len(loader) == 0:
        raise DataError(
            f"{len(dataset)} training images do not fill one batch of "
            f"{loader.batch_size}; lower train_dataloader.batch_size"
        )
