"""Bad input stops a training before it starts, or at the batch that brings it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from snnssl_mm.engine.data_check import check_batches, check_data
from snnssl_mm.engine.data_error import DataError
from snnssl_mm.engine.mask_check import beyond
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Check the files before training, and the masks of every batch of a segmentor.

    The files are those of :func:`snnssl_mm.engine.data_check.check_data`, which reads
    a sample of the masks; a label beyond the classes in any other would end in an
    index error that names no file, or, on a GPU, in one that kills the process.

    Args:
        files: Whether to check files; tools/train.py has done so, earlier.
    """

    def __init__(self, files: bool = True) -> None:
        self.files = files
        self.num_classes: int | None = None
        self.ignored: int | None = None

    def before_train(self, runner: Any) -> None:
        """Check what is known before the first batch."""
        check_batches(runner.train_dataloader)
        if self.files:
            check_data(runner.cfg)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        head = getattr(model, "decode_head", None)
        if head is not None:  # of a segmentor; several in a cascade
            last: Any = head[-1] if isinstance(head, nn.ModuleList) else head
            self.num_classes, self.ignored = last.num_classes, last.ignore_index

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any) -> None:
        """Check the labels of a segmentor's batch."""
        if self.num_classes is None:
            return
        for sample in data_batch["data_samples"]:
            if "gt_sem_seg" not in sample:
                continue
            labels = sample.gt_sem_seg.data
            wrong = labels[(labels >= self.num_classes) & (labels != self.ignored)]
            if wrong.numel():
                path = sample.get("seg_map_path") or sample.get("img_path")
                reduced = bool(sample.get("reduce_zero_label"))
                label = int(wrong.max())
                raise DataError(beyond(label, self.num_classes, path, reduced, ""))
