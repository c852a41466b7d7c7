"""Bad input stops a training before it starts, or at the batch that brings it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.labels import check_labels, classes_of
from snnssl_mm.checks.preflight import check_batches, check_runner
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
        self.classes: tuple[int | None, int | None] = (None, None)

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
        self.classes = classes_of(unwrapped(runner.model))

    def _before_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, mode: str = "train"
    ) -> None:
        """Check the labels of a batch, in training, validation and test."""
        check_labels(data_batch, *self.classes)
