"""Whether the labels of a batch are those of a model's classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from snnssl_mm.checks.label_maps import beyond
from snnssl_mm.datasets.data_error import DataError


def classes_of(model: Any) -> tuple[int | None, int | None]:
    """Number of classes of a segmentor or classifier, and the label without a loss."""
    head = getattr(model, "decode_head", None) or getattr(model, "head", None)
    # The last of a cascade of segmentation heads.
    last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
    return getattr(last, "num_classes", None), getattr(last, "ignore_index", None)


def check_labels(batch: Any, num_classes: int | None, ignored: int | None) -> None:
    """Refuse labels beyond the classes, by the names of their files.

    In the loss they would end in an index error that names no file, on a GPU in one
    that kills the process; and mmseg's mIoU would pass over them.

    Args:
        batch: Of a data loader.
        num_classes: Of the model; None for other models, whose batches pass.
        ignored: Label without a loss.

    Raises:
        DataError: It names the file.
    """
    if num_classes is None or not isinstance(batch, Mapping):
        return
    for sample in batch.get("data_samples") or ():
        if "gt_label" in sample and int(sample.gt_label.max()) >= num_classes:
            raise DataError(
                f"{sample.get('img_path', 'an image')} has label "
                f"{int(sample.gt_label.max())}, expected 0 to {num_classes - 1}; set "
                "num_classes of the model's head to the number of the dataset's classes"
            )
        if "gt_sem_seg" not in sample:
            continue
        labels = sample.gt_sem_seg.data
        wrong = labels[(labels >= num_classes) & (labels != ignored)]
        if wrong.numel():
            path = sample.get("seg_map_path") or sample.get("img_path")
            reduced = bool(sample.get("reduce_zero_label"))
            raise DataError(beyond(int(wrong.max()), num_classes, path, reduced))
