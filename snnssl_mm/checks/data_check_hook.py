"""Bad input stops a training before it starts, or at the batch that brings it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from torch import nn

from snnssl_mm.checkpoints import unwrapped
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.data_error import DataError
from snnssl_mm.checks.preflight import check_batches, check_runner
from snnssl_mm.checks.samples import beyond
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Run the pre-flight before the first iteration, and check every batch's labels.

    The pre-flight is that of :func:`snnssl_mm.checks.data.check_data` and
    :func:`snnssl_mm.checks.preflight.check_runner`. It looks at a sample; a label
    beyond the classes of a segmentor or classifier in any other batch would end in an
    index error that names no file, on a GPU in one that kills the process; and mmseg's
    mIoU would pass over it.

    Args:
        files: Whether to check files; tools/train.py has done so, earlier.
        batches: Whether to run batches through model, loss and evaluators.
    """

    priority = "HIGHEST"  # before other hooks attach something to the model

    def __init__(self, files: bool = True, batches: bool = True) -> None:
        self.files = files
        self.batches = batches
        self.num_classes: int | None = None
        self.ignored: int | None = None

    def before_train(self, runner: Any) -> None:
        """Check what is known before the first batch."""
        if self.files:
            check_data(runner.cfg)
        if self.batches:
            check_runner(runner)
        else:
            check_batches(runner.train_dataloader)

    def before_run(self, runner: Any) -> None:
        """Read from the model how many classes there are."""
        model = unwrapped(runner.model)
        head = getattr(model, "decode_head", None) or getattr(model, "head", None)
        # The last of a cascade of segmentation heads.
        last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
        self.num_classes = getattr(last, "num_classes", None)
        self.ignored = getattr(last, "ignore_index", None)

    def _before_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, mode: str = "train"
    ) -> None:
        """Check the labels of a batch, in training, validation and test."""
        if self.num_classes is None or not isinstance(data_batch, Mapping):
            return
        for sample in data_batch.get("data_samples") or ():
            self.check_class(sample)
            if "gt_sem_seg" not in sample:
                continue
            labels = sample.gt_sem_seg.data
            wrong = labels[(labels >= self.num_classes) & (labels != self.ignored)]
            if wrong.numel():
                path = sample.get("seg_map_path") or sample.get("img_path")
                reduced = bool(sample.get("reduce_zero_label"))
                label = int(wrong.max())
                raise DataError(beyond(label, self.num_classes, path, reduced))

    def check_class(self, sample: Any) -> None:
        """Check the class of an image; some have none."""
        if "gt_label" not in sample or self.num_classes is None:
            return
        label = int(sample.gt_label.max())
        if label >= self.num_classes:
            raise DataError(
                f"{sample.get('img_path', 'an image')} has label {label}, expected 0 "
                f"to {self.num_classes - 1}; set num_classes of the model's head to "
                "the number of the dataset's classes"
            )
