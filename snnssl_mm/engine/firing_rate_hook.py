"""The share of neurons that fire, logged while training."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from snnssl_mm.neurons import MixedLIF
from snnssl_mm.registry import HOOKS


class FiringCounter:
    """Forward hook that counts spikes of the spiking path."""

    def __init__(self) -> None:
        self.spikes: Tensor | float = 0.0
        self.outputs = 0

    def __call__(self, neuron: nn.Module, _inputs: Any, output: Tensor) -> None:
        """Count one output ``[T, N, ...]``; of both paths, the first half only."""
        if neuron.path == "dual":
            output = output[:, : output.shape[1] // 2]
        self.spikes = self.spikes + output.detach().sum(dtype=torch.float32)
        self.outputs += output.numel()

    def rate(self) -> float:
        """Spikes per neuron and time step, 0 to 1."""
        return float(self.spikes) / max(self.outputs, 1)


@HOOKS.register_module()
class FiringRateHook(Hook):
    """Log the mean firing rate of all neurons as ``firing_rate``.

    Args:
        interval: Iterations between two measurements; the logger's own by default.
            In between, nothing is measured and nothing costs time.
    """

    priority = "NORMAL"

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval
        self.counter = FiringCounter()
        self.handles: list[Any] = []

    def before_train(self, runner: Any) -> None:
        """Follow the logger's interval."""
        if self.interval is None:
            loggers = (h.interval for h in runner.hooks if hasattr(h, "ignore_last"))
            self.interval = next(loggers, 10)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any) -> None:
        """Start counting in the iterations that will be logged."""
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if last or self.every_n_inner_iters(batch_idx, self.interval):
            self.counter = FiringCounter()
            self.handles = [
                module.register_forward_hook(self.counter)
                for module in runner.model.modules()
                if isinstance(module, MixedLIF) and module.path != "analog"
            ]

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Publish the rate."""
        if self.handles:
            for handle in self.handles:
                handle.remove()
            self.handles = []
            runner.message_hub.update_scalar("train/firing_rate", self.counter.rate())
