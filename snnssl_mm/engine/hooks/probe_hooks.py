"""Hooks that judge the features: k-NN while training, a linear probe at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from snnssl_mm.checkpoints.atomic_files import write_whole
from snnssl_mm.engine.guards.whole_model import whole_model
from snnssl_mm.probing.probes import (
    LabelledFeatures,
    Loaders,
    eval_loaders,
    has_labelled_images,
    knn_accuracy,
    labelled_features,
    linear_accuracy,
    random_init_model,
    raw_pixels,
)
from snnssl_mm.registry import HOOKS


class ProbeHook(Hook):
    """What both probes share: three kinds of features, side by side.

    Pretrained features are compared with those of a freshly initialised network (same
    recalibration of BatchNorm) and with raw pixels. The results go to the log, to the
    visualizer, and to ``probes.json`` in the work directory. Of several processes the
    first measures and the others wait.

    Args:
        recalibrate_bn: Whether BatchNorm statistics are taken anew on the spiking
            path of the training images before features are computed.
        **options: Of the accuracy function.
    """

    name = ""
    priority = "LOWEST"  # after the checkpoint: a probe that fails must not cost it

    def __init__(self, recalibrate_bn: bool = True, **options: Any) -> None:
        self.recalibrate_bn = recalibrate_bn
        self.options = options
        self.loaders: Loaders | None = None
        self.baselines: dict[str, float] = {}

    def accuracy(self, features: LabelledFeatures) -> float:
        """Judge features."""
        raise NotImplementedError

    def before_train(self, runner: Any) -> None:
        """Open the labelled images first: missing ones must not cost an epoch."""
        if has_labelled_images(runner.cfg):
            self.loaders = eval_loaders(runner.cfg)
        else:
            runner.logger.info(f"{self.name}: off, the config has no labelled images")
        if runner.epoch == 0 and is_main_process():  # not the rows of an earlier run
            Path(runner.work_dir, "probes.json").unlink(missing_ok=True)

    def measured(self, runner: Any, epoch: int) -> bool:
        """Tell whether ``probes.json`` has the accuracies after ``epoch`` epochs."""
        rows = read_results(Path(runner.work_dir, "probes.json"))
        return any((r["probe"], r["epoch"]) == (self.name, epoch) for r in rows)

    def report(self, runner: Any, epoch: int, again: bool = True) -> None:
        """Measure, log and write the accuracies after ``epoch`` epochs.

        Every process must call it; the first decides and measures.

        Args:
            runner: In training.
            epoch: Epochs that are done.
            again: Whether to measure what ``probes.json`` has already.
        """
        model = whole_model(runner) if self.loaders is not None else None
        new = is_main_process() and (again or not self.measured(runner, epoch))
        if self.loaders is not None and new:
            self.measure(runner, epoch, self.loaders, model)
        barrier()

    def measure(self, runner: Any, epoch: int, loaders: Loaders, model: Any) -> None:
        """Do what :meth:`report` promises, in one process."""
        options = (loaders, self.recalibrate_bn)
        if not self.baselines:
            untrained = random_init_model(runner.cfg)
            random = labelled_features(untrained, *options)
            pixels = raw_pixels(untrained, loaders)
            self.baselines = {
                "random_init": self.accuracy(random),
                "raw_pixels": self.accuracy(pixels),
            }
        features = labelled_features(model, *options)
        results = {"pretrained": self.accuracy(features), **self.baselines}
        texts = (f"{k.replace('_', ' ')} {100 * v:.1f} %" for k, v in results.items())
        runner.logger.info(f"{self.name} top-1: {', '.join(texts)}")
        runner.visualizer.add_scalars(
            {f"{self.name}/{k}": v for k, v in results.items()}, step=epoch
        )
        append_results(
            Path(runner.work_dir, "probes.json"),
            {"probe": self.name, "epoch": epoch, **results},
        )


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read a JSON list, which may be yet to come."""
    return list(json.loads(path.read_text())) if path.exists() else []


def append_results(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a JSON list; a row of the same probe and epoch is replaced."""
    rows = read_results(path)
    key = (row["probe"], row["epoch"])
    rows = [r for r in rows if (r["probe"], r["epoch"]) != key] + [row]
    write_whole(path, (json.dumps(rows, indent=1) + "\n").encode())


@HOOKS.register_module()
class KNNHook(ProbeHook):
    """Weighted k-NN accuracy every ``interval`` epochs and after the last.

    Args:
        interval: Epochs between two measurements.
        k: Number of neighbours.
        temperature: Of the neighbours' weights.
        recalibrate_bn: See ProbeHook.
    """

    name = "k-NN"

    def __init__(
        self,
        interval: int = 1,
        k: int = 20,
        temperature: float = 0.07,
        recalibrate_bn: bool = True,
    ) -> None:
        super().__init__(recalibrate_bn, k=k, temperature=temperature)
        self.interval = interval

    def accuracy(self, features: LabelledFeatures) -> float:
        """Judge features by their neighbours."""
        return knn_accuracy(features, **self.options)

    def due(self, runner: Any, epoch: int) -> bool:
        """Tell whether to measure after ``epoch`` epochs."""
        return epoch % self.interval == 0 or epoch == runner.max_epochs

    def before_train(self, runner: Any) -> None:
        """Measure what a run that was killed after its checkpoint did not come to."""
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

    name = "linear probe"

    def __init__(
        self, max_iter: int = 500, recalibrate_bn: bool = True, interval: int = 0
    ) -> None:
        super().__init__(recalibrate_bn, max_iter=max_iter)
        self.interval = interval

    def accuracy(self, features: LabelledFeatures) -> float:
        """Judge features by a linear classifier."""
        return linear_accuracy(features, **self.options)

    def after_train_epoch(self, runner: Any) -> None:
        """Measure after every ``interval`` epochs, if asked; the last is the end's."""
        if self.every_n_epochs(runner, self.interval) and not self.is_last_train_epoch(
            runner
        ):
            self.report(runner, runner.epoch + 1)

    def after_train(self, runner: Any) -> None:
        """Measure at the end."""
        self.report(runner, runner.epoch)
