"""Check that the labels of a batch are classes of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from snnssl_mm.checks.label_maps import beyond
from snnssl_mm.datasets.data_error import DataError


def classes_of(model: Any) -> tuple[int | None, int | None]:
    """Return a segmentor's or classifier's number of classes, and its ignored label."""
    head = getattr(model, "decode_head", None) or getattr(model, "head", None)
    # The last head of a cascade of segmentation heads.
    last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
    return getattr(last, "num_classes", None), getattr(last, "ignore_index", None)


def require_labels_in_range(
    batch: Any, num_classes: int | None, ignored: int | None
) -> None:
    """Require that all labels of a batch are classes.

    The loss would raise an index error without a file name, which kills the process on
    a GPU; mmseg's mIoU would ignore such labels.

    Args:
        batch: Batch of a data loader.
        num_classes: Number of classes; None for models that are not checked.
        ignored: Label that the loss ignores.

    Raises:
        DataError: Names the file of the first label out of range.
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
