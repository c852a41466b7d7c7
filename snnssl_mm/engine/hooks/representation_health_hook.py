"""Health of the representation, logged during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from snnssl_mm.engine.guards.gathered_model import gathered_model
from snnssl_mm.engine.guards.training_stopped import stop_everywhere
from snnssl_mm.engine.hooks.epoch_results import open_epoch_results
from snnssl_mm.recording.health_features import FEATURES
from snnssl_mm.recording.representation_health import (
    MEASURES,
    representation_health,
    rounded,
    signs_of_collapse,
)
from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.recording.two_views import two_view_batches
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class RepresentationHealthHook(Hook):
    """Measure spread, rank and agreement of the features every few epochs.

    The same two views of the same training images are used every time. Training is not
    affected: weights, buffers and random numbers stay bit-identical. The scalars
    ``health/<kind>/<measure>`` go to the visualizer, all measures as a row ``{"epoch",
    "images", ...}`` to ``health.json`` in the work directory, and signs of collapse to
    the log as a warning. Under DDP, rank 0 measures and the others wait.

    Args:
        interval: Epochs between two measurements; the last epoch is always measured.
        num_images: Images to measure on, evenly spread over the training set, or all
            images of a smaller set.
        stop: Whether signs of collapse end training, after the epoch's checkpoint.
    """

    priority = "LOWEST"  # after the checkpoint, which a failure must not prevent

    def __init__(
        self, interval: int = 1, num_images: int = 256, stop: bool = False
    ) -> None:
        if interval < 1 or num_images < 2:
            raise ValueError(
                "RepresentationHealthHook needs interval >= 1 epoch and num_images >= "
                f"2, got interval={interval}, num_images={num_images}"
            )
        self.interval = interval
        self.num_images = num_images
        self.stop = stop
        self.results: ResultsFile | None = None

    def before_train(self, runner: Any) -> None:
        """Open the file; measure if the run was killed after its checkpoint."""
        if is_main_process():
            self.results = open_epoch_results(runner, "health.json", "training_health")
        if runner.epoch:
            self.after_epoch(runner, runner.epoch)

    def after_train_epoch(self, runner: Any) -> None:
        """Measure after every ``interval`` epochs and after the last."""
        self.after_epoch(runner, runner.epoch + 1)

    def after_epoch(self, runner: Any, epoch: int) -> None:
        """Measure after ``epoch`` epochs, if it is due and not done yet."""
        if epoch % self.interval and epoch != runner.max_epochs:
            return
        model, warning = gathered_model(runner), None
        if self.results is not None:
            found = self.results.find(epoch=epoch)
            if found is None:
                warning = self.measure(runner, self.results, epoch, model)
            elif self.stop:  # the run may have stopped here before
                warning = warning_of(found, epoch)
        barrier()
        if self.stop:
            stop_everywhere(runner, warning)

    def measure(
        self, runner: Any, results: ResultsFile, epoch: int, model: Any
    ) -> str | None:
        """Measure, log and write, in one process; return the warning, if any."""
        loader = runner.train_dataloader
        views = two_view_batches(loader.dataset, loader.collate_fn, self.num_images)
        health = representation_health(model, views)
        names = [f"{kind}/{measure}" for kind in FEATURES for measure in MEASURES]
        scalars = {f"health/{name}": health[name] for name in names}
        runner.visualizer.add_scalars(scalars, step=epoch)
        images = min(self.num_images, len(loader.dataset))
        results.append({"epoch": epoch, "images": images, **rounded(health)})
        if warning := warning_of(health, epoch):
            runner.logger.warning(warning)
        return warning


def warning_of(health: Mapping[str, Any], epoch: int) -> str | None:
    """Describe the signs of collapse; None if there are none."""
    if not (signs := signs_of_collapse(health)):
        return None
    return (
        f"the representation looks collapsed after epoch {epoch}: {', '.join(signs)}. "
        "Lower the learning rate, or check the views with `snnssl browse`"
    )
