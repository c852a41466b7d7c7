"""Checks of the data before training and of the labels in every batch."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.checks.data import check_data
from snnssl_mm.checks.labels import classes_of, require_labels_in_range
from snnssl_mm.checks.preflight import require_training_batches, run_preflight
from snnssl_mm.models.clips import refuse_ambiguous_clips
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Run the pre-flight before the first iteration, and check every batch's labels.

    The pre-flight consists of :func:`snnssl_mm.checks.data.check_data` and
    :func:`snnssl_mm.checks.preflight.run_preflight`, which look at samples. A label out
    of range for a segmentor or classifier in another batch would cause an index error
    without a file name, which kills the process on a GPU; mmseg's mIoU would ignore it.

    Args:
        files: Whether to check files; snnssl train does so before it builds the run.
        batches: Whether to run batches through model, loss and evaluators.
    """

    priority = "HIGHEST"  # before other hooks register hooks on the model

    def __init__(self, files: bool = True, batches: bool = True) -> None:
        self.files = files
        self.batches = batches
        self.classes: tuple[int | None, int | None] = (None, None)

    def before_train(self, runner: Any) -> None:
        """Run the pre-flight."""
        if self.files:
            check_data(runner.cfg)
        if self.batches:
            run_preflight(runner)
        else:
            require_training_batches(runner.train_dataloader)

    def before_test(self, runner: Any) -> None:
        """Refuse clips whose axes are not exchanged, as the pre-flight does."""
        refuse_ambiguous_clips(unwrapped(runner.model))

    def before_run(self, runner: Any) -> None:
        """Read the number of classes from the model."""
        self.classes = classes_of(unwrapped(runner.model))

    def _before_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, mode: str = "train"
    ) -> None:
        """Check the labels of a batch, in training, validation and test."""
        require_labels_in_range(data_batch, *self.classes)
