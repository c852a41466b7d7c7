"""Whether a config's datasets fit its model, found out before any time is spent."""

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
from snnssl_mm.checks import coco
from snnssl_mm.checks.coco_boxes import check_corners, check_outlines
from snnssl_mm.checks.evaluators import check_evaluator_files
from snnssl_mm.checks.image_lists import check_class_labels, check_list, left_in_folders
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


def say(text: str) -> None:
    """Log a line of the pre-flight."""
    warns = text.startswith("warning: ")
    level = logging.WARNING if warns else logging.INFO
    print_log(f"pre-flight: {text.removeprefix('warning: ')}", "current", level)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep lines of the pre-flight, and tables of evaluators, from screen and log."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("ERROR")  # logging.disable would outlast this in mmengine's cache
    try:
        with contextlib.redirect_stdout(None):
            yield
    finally:
        logger.setLevel(level)


def check_data(
    cfg: Config, loaders: Sequence[str] = LOADERS, max_files: int | None = MAX_FILES
) -> dict[str, list[str]]:
    """Refuse datasets that do not fit the model or are not there.

    Builds every dataset inside the data loaders with its filters, and says how many
    images and objects it keeps; loads a sample of the files as the training does. No
    model is built. Of several processes the first checks.

    Args:
        cfg: Config of any scope.
        loaders: Names of the data loaders to look at; missing ones are passed over.
            Test data, which a training does not read, are only warned of unless
            they are all that is asked for.
        max_files: How many files of each dataset are loaded; None for all.

    Returns:
        Classes of COCO datasets as mmdet numbers them, by place.

    Raises:
        DataError: A sentence that names what was found, what was expected, the cure.
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
            say(f"warning: {error}; the training does not need these, a test will")
    check_numbering(numbered)
    if "val_dataloader" in loaders:
        for line in reduced_alike(cfg, ("train_dataloader", "val_dataloader")):
            say(line)
    return numbered


def check_loader(
    cfg: Config, name: str, seen: list[tuple[Any, Checked]], max_files: int | None
) -> dict[str, list[str]]:
    """Check the datasets of one data loader, and the files of its evaluator.

    Returns:
        Classes of COCO datasets as mmdet numbers them, by place.
    """
    numbered = {}
    images: set[Any] = set()
    classes = None
    inside = (cfg.get(name) or {}).get("dataset")
    for where, settings in leaf_datasets(inside, f"{name}.dataset"):
        before = [checked for one, checked in seen if one == settings]
        if not before:  # test data may be the validation's
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


def check_numbering(numbered: dict[str, list[str]]) -> None:
    """Refuse datasets that number the same classes differently.

    mmdet numbers the classes that an annotation file has, without a gap for one that it
    lacks.

    Raises:
        DataError: It names two datasets and their classes.
    """
    first, *others = numbered.items() or [("", [])]
    for where, classes in others:
        if classes != first[1]:
            differ = shortened(sorted(set(classes) ^ set(first[1]))) or "the order"
            raise DataError(
                f"{first[0]} numbers its classes {shortened(first[1])}, {where} "
                f"{shortened(classes)}: a class would be taken for another (different: "
                f"{differ}). Name all classes in the categories of both annotation "
                "files, or give both the same class folders"
            )


class Checked(NamedTuple):
    """What is known of a dataset that was checked.

    Attributes:
        classes: In the order of their numbers, of a COCO dataset (as mmdet numbers
            them) and of class folders; None for others.
        images: Ids of its images, if they have such.
    """

    classes: list[str] | None = None
    images: frozenset[Any] = frozenset()


def check_dataset(
    cfg: Config, settings: Any, where: str, max_files: int | None
) -> Checked:
    """Check one dataset, given by its settings and its place in the config."""
    if settings.get("backend_args") or "://" in str(settings.get("data_root")):
        say(f"{where} is not on this machine's disk: not looked at")
        return Checked()
    dataset = built(settings)
    if not isinstance(dataset, BaseDataset):
        say(f"{where}: {len(dataset)} samples")
        return Checked()
    if reads_files(type(dataset)):
        require_files(dataset, where)
    heads = dict(class_counts(cfg.get("model")))
    known, content = None, None
    bases = {base.__name__ for base in type(dataset).__mro__}
    panoptic = "CocoPanopticDataset" in bases  # things and stuff: counted otherwise
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
            f"{where} has no names of classes, which the evaluation needs; set metainfo"
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
    """Build a dataset that has listed nothing yet, with its loading transforms only."""
    lazy = copy.deepcopy(settings)
    loading = [
        transform
        for transform in settings.get("pipeline") or ()
        if isinstance(transform, Mapping) and loads_file(transform)
    ]
    with DATASETS.switch_scope_and_registry(settings.get("_scope_")) as registry:
        kind = settings["type"]
        found = registry.get(kind) if isinstance(kind, str) else kind
    if isinstance(found, type) and not issubclass(found, BaseDataset):
        return DATASETS.build(lazy)
    lazy.update(lazy_init=True, pipeline=copy.deepcopy(loading))
    dataset = DATASETS.build(lazy)
    if hasattr(dataset, "verify"):  # ImageFolder decodes all files when training starts
        dataset.verify = None
    return dataset


def require_files(dataset: Any, where: str) -> None:
    """Refuse a dataset whose annotation file or folders are not there."""
    if dataset.ann_file:
        require_file(dataset.ann_file, where)
        if lists_files(type(dataset)):
            check_list(dataset)
    for prefix in filter(None, dataset.data_prefix.values()):
        require_folder(prefix, where)


def reads_files(kind: type) -> bool:
    """Whether a class takes its paths as OpenMMLab's three basic datasets do.

    Ours have sentences of their own; a user's may do anything, unless it only renames
    the classes.
    """
    listing = getattr(kind, "load_data_list", kind).__module__
    stock = listing.startswith(("mmdet.", "mmseg.", "mmpretrain."))
    covered = {base.__name__ for base in kind.__mro__} & COVERED
    return bool(stock and covered) and not kind.__module__.startswith("snnssl_mm.")


def lists_files(kind: type) -> bool:
    """Whether a class lists folders or text files as those of mmseg and mmpretrain."""
    reader = getattr(kind, "load_data_list", kind).__qualname__
    return reader in ("BaseSegDataset.load_data_list", "CustomDataset.load_data_list")


def read_coco(dataset: Any, settings: Any, where: str) -> tuple[list[str], Any]:
    """Check a COCO annotation file, and let the dataset use what was read."""
    content = coco.read_annotations(dataset.ann_file, not where.startswith("test"))
    explicit = "classes" in (settings.get("metainfo") or {})
    classes = list(dataset.metainfo["classes"])
    known, notes = coco.check_categories(
        content, dataset.ann_file, classes, explicit, where
    )
    check_corners(content, dataset.ann_file)
    if needs_masks(settings):
        notes += coco.check_masks_of_objects(content, dataset.ann_file, True, classes)
    for note in [*notes, *coco.doubled_images(content, dataset.ann_file)]:
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
    """Say how many images and objects a dataset keeps, and what it drops.

    Raises:
        DataError: If it keeps none of them.
    """
    source = dataset.ann_file or next(iter(dataset.data_prefix.values()), "")
    before = sum(len(s.get("instances") or ()) for s in listed)
    after = sum(len(s.get("instances") or ()) for s in kept)
    reasons = []
    if content is not None:
        classes = list(dataset.metainfo["classes"])
        before = len(content["annotations"])
        why = coco.why_dropped(content, listed, classes)
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
            f"{text}{why_text}: no {what} of {source} are left; mend it, or set "
            f"data_prefix, filter_cfg, img_suffix or the like of {where}"
        )
    crowds = sum(o.get("ignore_flag", 0) for s in kept for o in s.get("instances", ()))
    if learns and crowds == after:
        raise DataError(
            f"{text}, but all of them are crowds (iscrowd=1), from which no detector "
            f"learns; write iscrowd=0 for single objects into {source}"
        )
    if learns and crowds:
        text += f", {crowds:,} of them as crowds (iscrowd=1), which are not learnt"
    say("warning: " * bool(reasons) + text + why_text)


def reduced_alike(cfg: Config, loaders: Sequence[str]) -> list[str]:
    """Say if label maps of some data loaders count from 1, and of others from 0."""
    found = {}
    for name in loaders:
        inside = (cfg.get(name) or {}).get("dataset")
        for where, settings in leaf_datasets(inside, f"{name}.dataset"):
            with contextlib.suppress(Exception):  # its own check reports it
                found[where] = bool(built(settings).reduce_zero_label)
    if len(set(found.values())) < 2:
        return []
    places = ", ".join(f"{where} {reduced}" for where, reduced in found.items())
    return [f"warning: labels mean other classes, reduce_zero_label differs: {places}"]
