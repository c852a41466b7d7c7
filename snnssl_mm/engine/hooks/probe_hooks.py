"""Probe hooks: k-NN accuracy during training, a linear probe at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from snnssl_mm.engine.guards.gathered_model import gathered_model
from snnssl_mm.probing import (
    LabelledFeatures,
    Loaders,
    eval_loaders,
    has_labelled_images,
    labelled_features,
    random_init_model,
    raw_pixels,
)
from snnssl_mm.probing.frozen_probes import count_classes, frozen_probe
from snnssl_mm.recording.probe_names import probe_title
from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.registry import HOOKS

RESULTS = "probes.json"
KEY = ("probe", "start", "epoch")
SPLITS = ("train", "test")


class ProbeHook(Hook):
    """Base class of the probe hooks, which compare three kinds of features.

    Pretrained features are compared with those of a randomly initialised network (same
    re-estimation of BatchNorm) and with raw pixels. The results go to the log, to the
    visualizer as ``<probe>/<start>``, and to the results file ``probes.json`` in the
    work directory, one row per start; baselines have epoch 0. Under DDP, rank 0
    measures and the others wait.

    Args:
        recalibrate_bn: Whether to re-estimate BatchNorm statistics on the training
            images, on the spiking path, before features are computed.
        **settings: Settings of the probe, see :func:`.frozen_probe`.
    """

    name = ""
    priority = "LOWEST"  # after the checkpoint, which a failing probe must not prevent

    def __init__(self, recalibrate_bn: bool = True, **settings: Any) -> None:
        self.recalibrate_bn = recalibrate_bn
        self.settings = {**settings, "recalibrated": recalibrate_bn}
        self.loaders: Loaders | None = None
        self.baselines: dict[str, float] = {}

    def before_train(self, runner: Any) -> None:
        """Open the labelled images before training, so that missing ones fail early."""
        if has_labelled_images(runner.cfg):
            self.loaders = eval_loaders(runner.cfg)
        else:
            runner.logger.info(
                f"{probe_title(self.name)}: off, the config has no labelled images"
            )
        if runner.epoch == 0 and is_main_process():  # drop rows of an earlier run
            Path(runner.work_dir, RESULTS).unlink(missing_ok=True)

    def report(self, runner: Any, epoch: int, again: bool = True) -> None:
        """Measure, log and write the accuracies after ``epoch`` epochs.

        Every process must call it; rank 0 decides and measures.

        Args:
            runner: In training.
            epoch: Number of completed epochs.
            again: Whether to measure again if ``probes.json`` has the row already.
        """
        model = gathered_model(runner) if self.loaders is not None else None
        if self.loaders is not None and is_main_process():
            results = ResultsFile(Path(runner.work_dir, RESULTS), "probes", KEY)
            row = {"probe": self.name, "start": "pretrained", "epoch": epoch}
            if again or results.find(**row) is None:
                self.measure(runner, epoch, model, results)
        barrier()

    def measure(
        self, runner: Any, epoch: int, model: Any, results: ResultsFile
    ) -> None:
        """Measure, log and write the accuracies, in one process."""
        loaders = cast(Loaders, self.loaders)
        common: dict[str, Any] = {"probe": self.name, "settings": self.settings}
        common |= {f"{k}_images": len(getattr(loaders, k).dataset) for k in SPLITS}

        def probe(start: str, features: LabelledFeatures, epoch: int) -> float:
            classes = count_classes(features)
            found = frozen_probe(self.name, self.settings, features, classes)
            row = {**common, "start": start, "epoch": epoch, "classes": classes}
            return float(results.append({**row, **found})["top1"])

        if not self.baselines:
            untrained = random_init_model(runner.cfg)
            random = labelled_features(untrained, loaders, self.recalibrate_bn)
            self.baselines = {
                "random": probe("random", random, 0),
                "pixels": probe("pixels", raw_pixels(untrained, loaders), 0),
            }
        features = labelled_features(model, loaders, self.recalibrate_bn)
        found = {"pretrained": probe("pretrained", features, epoch), **self.baselines}
        texts = (
            f"{probe_title(start)} {100 * top1:.1f} %" for start, top1 in found.items()
        )
        runner.logger.info(f"{probe_title(self.name)} top-1: {', '.join(texts)}")
        runner.visualizer.add_scalars(
            {f"{self.name}/{start}": top1 for start, top1 in found.items()}, step=epoch
        )


@HOOKS.register_module()
class KNNHook(ProbeHook):
    """Weighted k-NN accuracy every ``interval`` epochs and after the last.

    Args:
        interval: Epochs between two measurements.
        k: Number of neighbours.
        temperature: Temperature of the neighbours' weights.
        recalibrate_bn: See ProbeHook.
    """

    name = "knn"

    def __init__(
        self,
        interval: int = 1,
        k: int = 20,
        temperature: float = 0.07,
        recalibrate_bn: bool = True,
    ) -> None:
        super().__init__(recalibrate_bn, k=k, temperature=temperature)
        self.interval = interval

    def due(self, runner: Any, epoch: int) -> bool:
        """Whether to measure after ``epoch`` epochs."""
        return epoch % self.interval == 0 or epoch == runner.max_epochs

    def before_train(self, runner: Any) -> None:
        """Repeat the measurement of a run that was killed after its checkpoint."""
        super().before_train(runner)
        epoch = runner.epoch
        if epoch and self.due(runner, epoch):
            self.report(runner, epoch, again=False)

    def after_train_epoch(self, runner: Any) -> None:
        """Measure after every ``interval`` epochs and after the last."""
        if self.due(runner, runner.epoch + 1):
            self.report(runner, runner.epoch + 1)


@HOOKS.register_module()
class LinearProbeHook(ProbeHook):
    """Linear probe (logistic regression on frozen features) at the end of the run.

    Args:
        max_iter: Iterations of the solver.
        recalibrate_bn: See ProbeHook.
        interval: Epochs between two measurements during the run; 0 for none.
    """

    name = "linear"

    def __init__(
        self, max_iter: int = 500, recalibrate_bn: bool = True, interval: int = 0
    ) -> None:
        super().__init__(recalibrate_bn, max_iter=max_iter)
        self.interval = interval

    def after_train_epoch(self, runner: Any) -> None:
        """Measure every ``interval`` epochs, except the last, see ``after_train``."""
        if self.every_n_epochs(runner, self.interval) and not self.is_last_train_epoch(
            runner
        ):
            self.report(runner, runner.epoch + 1)

    def after_train(self, runner: Any) -> None:
        """Measure at the end of training."""
        self.report(runner, runner.epoch)
