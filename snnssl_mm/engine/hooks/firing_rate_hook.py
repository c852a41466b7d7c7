"""Firing rates of all layers, logged during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from snnssl_mm.checkpoints.loading import unwrapped
from snnssl_mm.engine.guards.training_stopped import stop_everywhere
from snnssl_mm.engine.hooks.epoch_results import open_epoch_results
from snnssl_mm.engine.lazy_history import logging_interval
from snnssl_mm.recording.firing_recorder import FiringRecorder, LayerFiring
from snnssl_mm.recording.results_file import ResultsFile
from snnssl_mm.recording.spike_recording import neurons_of
from snnssl_mm.registry import HOOKS

SATURATED = 0.95
"""Firing rate above which a layer hardly tells images apart."""


@HOOKS.register_module()
class FiringRateHook(Hook):
    """Log the mean firing rate, and after each epoch the rate of each layer.

    Spikes are counted on the spiking path, on the training batches of the measured
    iterations. Their mean rate is logged as ``firing_rate``. After each epoch, over its
    measured iterations, the hook writes: the scalars ``firing_rate/<layer>``; a log
    line with the extreme layers and the numbers of dead and saturated neurons; a
    warning for each dead layer, with the epoch since when, and for each that fires at
    more than 95 % of the steps; and a row ``{"epoch", "images", "layers"}`` with the
    entries of LayerFiring in ``firing_rates.json`` in the work directory. Training by
    iterations counts as one epoch. Under DDP, rank 0 measures its own batches and
    writes. Without a MixedLIF the hook is off, and says so.

    Measured iterations of a compiled model (``compile=True`` in the config) run
    eagerly, since compiled code does not call the hooks that count.

    Args:
        interval: Iterations between two measurements; the logger's interval by
            default. The other iterations are not slowed down.
        stop: Whether a dead layer ends training, after the epoch's checkpoint and
            validation.
    """

    priority = "NORMAL"  # before the logger, which writes the rate of the iteration

    def __init__(self, interval: int | None = None, stop: bool = False) -> None:
        self.interval = interval
        self.stop = stop
        self.is_on = True
        self.recorder: FiringRecorder | None = None
        self.before = (0.0, 0)  # totals of the recorder before the iteration
        self.results: ResultsFile | None = None
        self.fault: str | None = None  # that ends training

    def before_train(self, runner: Any) -> None:
        """Take the logger's interval by default; open the results file."""
        self.is_on = bool(neurons_of(unwrapped(runner.model)))
        if not self.is_on:
            runner.logger.info("firing rates: off, the model has no MixedLIF neuron")
            return
        if self.interval is None:
            self.interval = logging_interval(runner.hooks)
        if is_main_process():
            what = "training_firing_rates"
            self.results = open_epoch_results(runner, "firing_rates.json", what)

    def before_train_epoch(self, runner: Any) -> None:
        """Stop because of the last epoch, or start a new count."""
        self.stop_if_asked(runner)
        if self.is_on:
            self.recorder = FiringRecorder(unwrapped(runner.model))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any) -> None:
        """Count spikes in the iterations that are logged."""
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self.recorder is not None and (
            last or self.every_n_inner_iters(batch_idx, self.interval)
        ):
            self.before = self.recorder.totals()
            self.recorder.start()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log the rate of this iteration."""
        if self.recorder is None or not self.recorder.handles:
            return
        self.recorder.stop()
        spikes, outputs = (
            now - before
            for now, before in zip(self.recorder.totals(), self.before, strict=True)
        )
        if outputs:  # nothing spikes where both views take the analog path
            runner.message_hub.update_scalar("train/firing_rate", spikes / outputs)

    def after_train_epoch(self, runner: Any) -> None:
        """Log and write the rates of the layers; warn of dead and saturated ones."""
        dead, saturated = self.publish(runner) if self.results is not None else ([], [])
        for warning in dead + saturated:
            runner.logger.warning(warning)
        self.fault = dead[0] if dead else None

    def after_train(self, runner: Any) -> None:
        """Stop because of the last epoch."""
        self.stop_if_asked(runner)

    def stop_if_asked(self, runner: Any) -> None:
        """Stop all processes if a layer was dead in the last epoch.

        Not at its end: the checkpoint is written after this hook.
        """
        if self.stop:
            stop_everywhere(runner, self.fault)

    def publish(self, runner: Any) -> tuple[list[str], list[str]]:
        """Log and write the rates; return warnings of dead and of saturated layers."""
        if self.recorder is None or self.results is None:
            return [], []
        layers, images = self.recorder.layers(), self.recorder.images()
        if not layers:
            return [], []
        rates = {f"firing_rate/{layer.name}": fmean(layer.rates) for layer in layers}
        epoch = runner.epoch + 1
        runner.visualizer.add_scalars(rates, step=epoch)
        rows = [layer._asdict() for layer in layers]
        self.results.append({"epoch": epoch, "images": images, "layers": rows})
        runner.logger.info(rates_message(layers, images))
        dead = [
            dead_layer_message(layer, images, dead_since(self.results.rows, layer.name))
            for layer in layers
            if layer.dead == layer.neurons
        ]
        return dead, [
            saturated_layer_message(layer, images)
            for layer in layers
            if fmean(layer.rates) > SATURATED
        ]


def dead_since(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    """Return the first of the consecutive last epochs in which a layer never fired.

    Args:
        rows: Rows of the results file; the layer is dead in the last one.
        name: Name of the layer.
    """
    since: int = rows[-1]["epoch"]
    for row in reversed(rows):
        states = {layer["name"]: layer for layer in row["layers"]}
        if name not in states or states[name]["dead"] < states[name]["neurons"]:
            break
        since = row["epoch"]
    return since


def rates_message(layers: list[LayerFiring], images: int) -> str:
    """Describe the extreme layers, and the numbers of dead and saturated neurons."""

    def rate(layer: LayerFiring) -> float:
        return fmean(layer.rates)

    least, most = min(layers, key=rate), max(layers, key=rate)
    neurons, dead, saturated = (
        sum(counts) for counts in zip(*(layer[2:] for layer in layers), strict=True)
    )
    return (
        f"firing rates of {images} images: least {least.name} {100 * rate(least):.1f} "
        f"%, most {most.name} {100 * rate(most):.1f} %; of {neurons:,} neurons "
        f"{dead:,} never fired, {saturated:,} always"
    )


def dead_layer_message(layer: LayerFiring, images: int, since: int) -> str:
    """Describe a layer that has been dead since an epoch."""
    return (
        f"layer {layer.name} is dead: none of its {layer.neurons:,} neurons fired for "
        f"{images} training images, nor in any epoch since {since}, so no signal "
        "reaches the layers after it. Lower the learning rate, or the threshold "
        "(model.backbone.neuron.v_threshold)"
    )


def saturated_layer_message(layer: LayerFiring, images: int) -> str:
    """Describe a layer that fires nearly always."""
    cure = (
        "Set model.backbone.attention_scale='auto', or a smaller number"
        if layer.name.endswith("attention")
        else "Raise the threshold (model.backbone.neuron.v_threshold)"
    )
    return (
        f"layer {layer.name} is saturated: its {layer.neurons:,} neurons fire at "
        f"{100 * fmean(layer.rates):.1f} % of the time steps of {images} training "
        f"images, so it hardly distinguishes them. {cure}"
    )
