"""Check before training that a config's datasets exist and fit its model."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger, print_log
from mmengine.registry import DATASETS, init_default_scope

from snnssl_mm.checkpoints.preprocessing import loads_file
from snnssl_mm.checkpoints.stored_config import type_name
from snnssl_mm.checks import coco
from snnssl_mm.checks.coco_boxes import check_outlines, require_sides
from snnssl_mm.checks.evaluators import check_evaluator_files
from snnssl_mm.checks.image_lists import (
    check_class_labels,
    left_in_folders,
    require_valid_list,
)
from snnssl_mm.checks.label_maps import Expected
from snnssl_mm.checks.samples import MAX_FILES, check_boxes, check_samples
from snnssl_mm.checks.settings import (
    LOADERS,
    class_counts,
    ignored_label,
    leaf_datasets,
)
from snnssl_mm.datasets.data_error import (
    DataError,
    check_class_counts,
    require_file,
    require_folder,
    shortened,
    step,
)

COVERED = {"CocoDataset", "BaseSegDataset", "CustomDataset"}
FRAMES = {"EventFrames", "FoldFrames"}
"""Transforms that make an image of a recording."""


def say(text: str) -> None:
    """Log a line of the pre-flight; with the prefix ``warning:``, as a warning."""
    warns = text.startswith("warning: ")
    level = logging.WARNING if warns else logging.INFO
    print_log(f"pre-flight: {text.removeprefix('warning: ')}", "current", level)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Suppress log lines, and tables that evaluators print."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("ERROR")  # mmengine would cache the effect of logging.disable
    try:
        with contextlib.redirect_stdout(None):
            yield
    finally:
        logger.setLevel(level)


def check_data(
    cfg: Config, loaders: Sequence[str] = LOADERS, max_files: int | None = MAX_FILES
) -> dict[str, list[str]]:
    """Check that all datasets exist and fit the model.

    Builds every dataset in the data loaders with its filters, logs how many images and
    objects it keeps, and loads a sample of the files as training does. No model is
    built. Under DDP, only rank 0 checks.

    Args:
        cfg: Config of any scope.
        loaders: Names of the data loaders to check; missing ones are skipped. Problems
            of test data, which training does not read, are warnings, unless only test
            data are checked.
        max_files: Number of files to load from each dataset; None for all.

    Returns:
        Classes of COCO datasets as mmdet numbers them, by config key.

    Raises:
        DataError: Says what was found, what was expected and what to do.
    """
    if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))):
        return {}
    init_default_scope(cfg.get("default_scope") or "mmengine")
    numbered: dict[str, list[str]] = {}
    seen: list[tuple[Any, Checked]] = []
    for name in loaders:
        try:
            numbered |= check_loader(cfg, name, seen, max_files)
        except DataError as error:
            if name != "test_dataloader" or len(loaders) == 1:
                raise
            say(f"warning: {error}; training does not read test data, but testing does")
    require_same_numbering(numbered)
    if "val_dataloader" in loaders:
        for line in reduced_alike(cfg, ("train_dataloader", "val_dataloader")):
            say(line)
    return numbered


def check_loader(
    cfg: Config, name: str, seen: list[tuple[Any, Checked]], max_files: int | None
) -> dict[str, list[str]]:
    """Check the datasets of one data loader, and the files of its evaluator.

    Returns:
        Classes of COCO datasets as mmdet numbers them, by config key.
    """
    numbered = {}
    images: set[Any] = set()
    classes = None
    inside = (cfg.get(name) or {}).get("dataset")
    for where, settings in leaf_datasets(inside, f"{name}.dataset"):
        before = [checked for one, checked in seen if one == settings]
        if not before:  # test data are often the validation data
            with step(f"{where}: building {settings['type']}"):
                before = [check_dataset(cfg, settings, where, max_files)]
            seen.append((settings, before[0]))
        (checked,) = before
        images |= checked.images
        if checked.classes:
            numbered[where] = classes = checked.classes
    split = name.removesuffix("_dataloader")
    evaluator = cfg.get(f"{split}_evaluator")
    for line in check_evaluator_files(evaluator, split, images, classes):
        say(line)
    return numbered


def require_same_numbering(numbered: dict[str, list[str]]) -> None:
    """Require that all datasets number the same classes in the same way.

    mmdet numbers the classes that an annotation file contains, without gaps for missing
    ones.

    Raises:
        DataError: Names two datasets and their classes.
    """
    first, *others = numbered.items() or [("", [])]
    for where, classes in others:
        if classes != first[1]:
            differ = shortened(sorted(set(classes) ^ set(first[1]))) or "the order"
            raise DataError(
                f"{first[0]} numbers its classes {shortened(first[1])}, {where} "
                f"{shortened(classes)}, so classes would be confused (different: "
                f"{differ}). List all classes in the categories of both annotation "
                "files, or use the same class folders for both"
            )


class Checked(NamedTuple):
    """Result of checking a dataset.

    Attributes:
        classes: Classes in the order of their numbers, for a COCO dataset (as mmdet
            numbers them) and class folders; None for other datasets.
        images: Ids of its images, if they have ids.
    """

    classes: list[str] | None = None
    images: frozenset[Any] = frozenset()


def check_dataset(
    cfg: Config, settings: Any, where: str, max_files: int | None
) -> Checked:
    """Check one dataset, given by its settings and its key in the config."""
    if settings.get("backend_args") or "://" in str(settings.get("data_root")):
        say(f"{where} is not on a local disk: not checked")
        return Checked()
    dataset = built(settings)
    if not isinstance(dataset, BaseDataset):
        say(f"{where}: {len(dataset)} samples")
        return Checked()
    if reads_files(type(dataset)):
        require_dataset_files(dataset, where)
    heads = dict(class_counts(cfg.get("model")))
    known, content = None, None
    bases = {base.__name__ for base in type(dataset).__mro__}
    panoptic = "CocoPanopticDataset" in bases  # counts things and stuff
    reader = type(dataset).load_data_list.__qualname__
    if reader == "CocoDataset.load_data_list" and not panoptic:
        known, content = read_coco(dataset, settings, where)
    listed = dataset.load_data_list()
    dataset.data_list = listed
    dataset.data_list = kept = dataset.filter_data()
    if dataset._indices is not None:
        kept = dataset._get_unserialized_subset(dataset._indices)
    report_kept(dataset, content, listed, kept, where)
    if lists_files(type(dataset)):
        for line in left_in_folders(dataset, listed, where):
            say(line)
    classes = dataset.metainfo.get("classes") or ()
    if classes and not panoptic:
        check_class_counts(heads, classes, where)
    segments = "BaseSegDataset" in bases and heads
    count = (len(classes) or min(heads.values())) if segments else None
    if segments and not classes and where.startswith(("val", "test")):
        raise DataError(
            f"{where} has no class names, which the evaluation needs; set metainfo"
            f"=dict(classes=(...)) with {count} names"
        )
    skip = getattr(dataset, "on_error", "raise") == "skip"
    expected = Expected(where, count, ignored_label(cfg.get("model")), skip)
    lines = [*check_boxes(kept, where), *check_class_labels(kept, heads, where)]
    if content is not None:
        lines += check_outlines(content, dataset.ann_file, needs_masks(settings))
    for line in [*lines, *check_samples(kept, dataset.pipeline, expected, max_files)]:
        say(line)
    if "CustomDataset" in bases and getattr(dataset, "with_label", False):
        known = list(classes) or None
    images = frozenset(info["img_id"] for info in kept if "img_id" in info)
    return Checked(known, images)


def built(settings: Any) -> Any:
    """Build a dataset without reading its list, with its loading transforms only."""
    lazy = copy.deepcopy(settings)
    loading = [
        transform
        for transform in settings.get("pipeline") or ()
        if isinstance(transform, Mapping)
        and (loads_file(transform) or type_name(transform.get("type")) in FRAMES)
    ]
    with DATASETS.switch_scope_and_registry(settings.get("_scope_")) as registry:
        kind = settings["type"]
        found = registry.get(kind) if isinstance(kind, str) else kind
    if isinstance(found, type) and not issubclass(found, BaseDataset):
        return DATASETS.build(lazy)
    lazy.update(lazy_init=True, pipeline=copy.deepcopy(loading))
    dataset = DATASETS.build(lazy)
    if hasattr(dataset, "verify"):  # ImageFolder verifies all files in training itself
        dataset.verify = None
    return dataset


def require_dataset_files(dataset: Any, where: str) -> None:
    """Require that a dataset's annotation file and folders exist."""
    if dataset.ann_file:
        require_file(dataset.ann_file, where)
        if lists_files(type(dataset)):
            require_valid_list(dataset)
    for prefix in filter(None, dataset.data_prefix.values()):
        require_folder(prefix, where)


def reads_files(kind: type) -> bool:
    """Whether a class reads its paths like OpenMMLab's three basic datasets.

    This package's datasets have their own messages; a user's class may read anything,
    unless it only changes the class names.
    """
    listing = getattr(kind, "load_data_list", kind).__module__
    stock = listing.startswith(("mmdet.", "mmseg.", "mmpretrain."))
    covered = {base.__name__ for base in kind.__mro__} & COVERED
    return bool(stock and covered) and not kind.__module__.startswith("snnssl_mm.")


def lists_files(kind: type) -> bool:
    """Whether a class lists folders or text files like mmseg's and mmpretrain's."""
    reader = getattr(kind, "load_data_list", kind).__qualname__
    return reader in ("BaseSegDataset.load_data_list", "CustomDataset.load_data_list")


def read_coco(dataset: Any, settings: Any, where: str) -> tuple[list[str], Any]:
    """Check a COCO annotation file, and make the dataset use the content."""
    content = coco.read_annotations(dataset.ann_file, not where.startswith("test"))
    explicit = "classes" in (settings.get("metainfo") or {})
    classes = list(dataset.metainfo["classes"])
    known, notes = coco.check_categories(
        content, dataset.ann_file, classes, explicit, where
    )
    require_sides(content, dataset.ann_file)
    if needs_masks(settings):
        notes += coco.check_masks_of_objects(content, dataset.ann_file, True, classes)
    for note in [*notes, *coco.duplicate_images(content, dataset.ann_file)]:
        say(note)
    kind = dataset.COCOAPI
    dataset.COCOAPI = lambda _: coco.indexed(kind, content)
    return known, content


def needs_masks(settings: Any) -> bool:
    """Whether a dataset's pipeline loads the masks of objects."""
    pipeline = settings.get("pipeline") or ()
    return any(isinstance(t, Mapping) and t.get("with_mask") for t in pipeline)


def report_kept(
    dataset: Any, content: Any, listed: list[Any], kept: list[Any], where: str
) -> None:
    """Log how many images and objects a dataset keeps, and what it drops.

    Raises:
        DataError: If it keeps none of them, or only crowds.
    """
    source = dataset.ann_file or next(iter(dataset.data_prefix.values()), "")
    before = sum(len(s.get("instances") or ()) for s in listed)
    after = sum(len(s.get("instances") or ()) for s in kept)
    reasons = []
    if content is not None:
        classes = list(dataset.metainfo["classes"])
        before = len(content["annotations"])
        why = coco.drop_reasons(content, listed, classes)
        reasons = [f"{count} {text}" for text, count in why.most_common()]
    text = f"{where}: {len(kept):,} of {len(listed):,} images"
    if before or content is not None:
        text += f", {after:,} of {before:,} objects kept"
    if dropped_images := len(listed) - len(kept):
        rules = f"filter_cfg={dict(dataset.filter_cfg or {})}"
        if dataset._indices is not None:
            rules += " and indices"
        reasons.append(f"{dropped_images} images by {rules}")
    why_text = f" (dropped: {'; '.join(reasons)})" if reasons else ""
    learns = content is not None and where.startswith("train")
    if not kept or (not after and (before or learns)):
        what = "objects" if kept else "images"
        raise DataError(
            f"{text}{why_text}: no {what} of {source} are left; correct it, or set "
            f"data_prefix, filter_cfg, img_suffix or similar of {where}"
        )
    crowds = sum(o.get("ignore_flag", 0) for s in kept for o in s.get("instances", ()))
    if learns and crowds == after:
        raise DataError(
            f"{text}, but all of them are crowds (iscrowd=1), which detectors do not "
            f"learn; set iscrowd=0 for single objects in {source}"
        )
    if learns and crowds:
        text += f", {crowds:,} of them crowds (iscrowd=1), which are not learnt"
    say(f"{'warning: ' if reasons else ''}{text}{why_text}")


def reduced_alike(cfg: Config, loaders: Sequence[str]) -> list[str]:
    """Report data loaders whose label maps differ in counting from 0 or from 1."""
    found = {}
    for name in loaders:
        inside = (cfg.get(name) or {}).get("dataset")
        for where, settings in leaf_datasets(inside, f"{name}.dataset"):
            with contextlib.suppress(Exception):  # check_dataset reports it
                found[where] = bool(built(settings).reduce_zero_label)
    if len(set(found.values())) < 2:
        return []
    places = ", ".join(f"{where} {reduced}" for where, reduced in found.items())
    return [
        "warning: the same label means different classes, since reduce_zero_label "
        f"differs: {places}"
    ]
