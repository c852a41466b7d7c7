"""Checks of a config's evaluators: their files, and their metrics on annotations."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import DumpResults
from mmengine.structures import BaseDataElement, InstanceData
from pycocotools import mask as coco_mask

from snnssl_mm.checks import coco
from snnssl_mm.datasets.data_error import DataError, PreflightError

WRITTEN = ("outfile_prefix", "output_dir", "out_file_path", "out_dir")
"""Settings of metrics for the files that they write."""
READ_BOXES = ("CocoMetric", "CocoFastMetric", "CocoOccludedSeparatedMetric")
"""Metrics whose annotation file lists boxes, unlike those for captions and others."""


def metrics_of(evaluator: Any) -> list[Any]:
    """List the settings of an evaluator's metrics, in any form that Runner accepts."""
    if isinstance(evaluator, Mapping) and "metrics" in evaluator:
        evaluator = evaluator["metrics"]
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]


def splits_samples(evaluator: Any) -> bool:
    """Whether an evaluator may give each metric different samples, as mmdet's does."""
    nested = isinstance(evaluator, Mapping) and "metrics" in evaluator
    return nested and class_name(evaluator) not in ("dict", "Evaluator")


def class_name(settings: Any) -> str:
    """Name the class of a metric or an evaluator, without its scope."""
    kind: Any = None
    if isinstance(settings, Mapping):
        kind = settings.get("type", "Evaluator")
    name = kind if isinstance(kind, str) else (kind or type(settings)).__name__
    return name.rpartition(".")[2]


def check_evaluator_files(
    evaluator: Any, name: str, images: set[Any], classes: Sequence[str] | None
) -> list[str]:
    """Check the annotation files that COCO evaluators read.

    Args:
        evaluator: Settings of the evaluator.
        name: ``'val'`` or ``'test'``.
        images: Ids of the evaluated images; empty if unknown.
        classes: Names of the evaluated categories; None for all.

    Returns:
        Lines for the log.

    Raises:
        DataError: If a file is missing, or lacks what pycocotools needs.
    """
    lines = []
    for metric in metrics_of(evaluator):
        path = metric.get("ann_file") if isinstance(metric, Mapping) else None
        if not path or "://" in path or metric.get("backend_args"):
            continue
        where = f"{name}_evaluator.ann_file"
        if not Path(path).is_file():
            raise DataError(f"{where}: {path} does not exist; check the path")
        if class_name(metric) not in READ_BOXES or metric.get("format_only"):
            continue
        content = coco.read_annotations(path, labelled=name != "test")
        masks = "segm" in (metric.get("metric") or ())
        lines += coco.check_evaluated(content, path, masks, classes)
        if images and not splits_samples(evaluator):
            lines += compare_images(content, path, images, classes, name)
    return lines


def compare_images(
    content: coco.Content,
    file: str,
    images: set[Any],
    classes: Sequence[str] | None,
    name: str,
) -> list[str]:
    """Compare the images of an evaluator's file with the evaluated images.

    Returns:
        Lines for the log.

    Raises:
        DataError: If the file lacks some, so that pycocotools would fail.
    """
    cure = f"use the same file in {name}_evaluator and {name}_dataloader"
    listed = {image["id"] for image in content["images"]}
    if lost := sorted(images - listed, key=str):
        raise DataError(
            f"{file} lacks {len(lost)} of the {len(images)} images of {name}_dataloader"
            f", first with id {lost[0]!r}, so the evaluation would fail; {cure}"
        )
    annotated = {a["image_id"] for a in coco.used_annotations(content, classes)}
    if more := len(annotated - images):
        return [
            f"warning: {file} has {more} annotated images that {name}_dataloader does "
            f"not have; {name}_evaluator counts their objects as missed; {cure}"
        ]
    return []


def run_metric(
    runner: Any,
    metric: Any,
    outputs: Sequence[Any],
    fed: Iterable[Any],
    batch: Any,
    dataset: Any,
    folder: Path,
) -> None:
    """Evaluate outputs with one metric, which must know the annotated objects.

    Args:
        runner: Runner, which builds the evaluator.
        metric: Settings of the metric.
        outputs: Samples with predictions.
        fed: The outputs whose predictions were replaced by the annotated objects.
        batch: The model's input.
        dataset: The validation dataset.
        folder: Folder for files that the metric writes.

    Raises:
        PreflightError: If masks are evaluated but not predicted, or if the metric
            reads other objects.
    """
    evaluator = runner.build_evaluator([copy.deepcopy(metric)])
    evaluator.dataset_meta = getattr(dataset, "metainfo", None)
    for part in evaluator.metrics:
        if isinstance(part, DumpResults):
            return
        for name in WRITTEN:
            if getattr(part, name, None):
                setattr(part, name, str(folder / "results"))
        masks = "segm" in (getattr(part, "metrics", None) or ())
        if masks and not all("masks" in o.get("pred_instances", ()) for o in outputs):
            raise PreflightError(
                "val_evaluator evaluates masks (metric 'segm'), but the model predicts "
                "none; set metric='bbox', or use a model with masks"
            )
        if hasattr(part, "img_ids") and getattr(part, "_coco_api", None):
            part.img_ids = [output.img_id for output in outputs]
            if class_name(part) in READ_BOXES:
                compare_objects(part, evaluator.dataset_meta["classes"], fed)
    evaluator.process(data_samples=outputs, data_batch=batch)
    evaluator.evaluate(len(outputs) * get_world_size())


def compare_objects(metric: Any, classes: Sequence[str], fed: Iterable[Any]) -> None:
    """Find a dataset's objects among those that a COCO metric has read.

    Raises:
        PreflightError: If it has less than half of them.
    """
    count = known = 0
    categories = metric._coco_api.get_cat_ids(cat_names=classes)
    for output in fed:
        truth = metric._coco_api.imgToAnns[output.img_id]
        objects = output.pred_instances
        for (x1, y1, x2, y2), label in zip(
            objects.bboxes.tolist(), objects.labels.tolist(), strict=True
        ):
            wanted = categories[label : label + 1]
            same = [a["bbox"] for a in truth if a["category_id"] in wanted]
            count += 1
            if same:
                box = [x1, y1, x2 - x1, y2 - y1]
                found = coco_mask.iou([box], same, [0] * len(same))
                known += bool((found > 0.5).any())
    if known < count / 2:
        raise PreflightError(
            f"val_evaluator has only {known} of {count} annotated boxes: it reads "
            "other annotations than val_dataloader; use the same ann_file and classes "
            "for both"
        )


def insert_ground_truth(outputs: Sequence[Any], infos: Sequence[Any]) -> list[Any]:
    """Replace a detector's predictions by the annotated objects.

    Args:
        outputs: Samples with predictions.
        infos: The dataset's info of each sample.

    Returns:
        The outputs that were changed.
    """
    changed = []
    for output, info in zip(outputs, infos, strict=False):
        if not isinstance(output, BaseDataElement) or "pred_instances" not in output:
            continue
        objects = [o for o in info.get("instances") or () if not o.get("ignore_flag")]
        if not objects or "height" not in info:
            continue
        fed = InstanceData(
            bboxes=torch.tensor([o["bbox"] for o in objects], dtype=torch.float32),
            labels=torch.tensor([o["bbox_label"] for o in objects]),
            scores=torch.ones(len(objects)),
        )
        if "masks" in output.pred_instances:
            size = (int(info["height"]), int(info["width"]))
            fed.masks = [run_lengths(o, *size) for o in objects]
        output.pred_instances = fed
        changed.append(output)
    return changed


def run_lengths(annotated: Any, height: int, width: int) -> Any:
    """Encode an annotated mask, or the box if there is none, as COCO's run lengths."""
    x1, y1, x2, y2 = annotated["bbox"]
    mask = annotated.get("mask") or [[x1, y1, x2, y1, x2, y2, x1, y2]]
    if isinstance(mask, dict) and not isinstance(mask["counts"], list):
        return dict(mask)
    made = coco_mask.frPyObjects(mask, height, width)
    return coco_mask.merge(made) if isinstance(made, list) else made
