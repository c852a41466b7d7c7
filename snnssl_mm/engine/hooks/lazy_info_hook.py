"""Logged values that the host does not wait for in every iteration."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub

from snnssl_mm.engine.lazy_history import LazyHistory, PendingValues, is_on_device
from snnssl_mm.registry import HOOKS


@HOOKS.register_module()
class LazyInfoHook(RuntimeInfoHook):
    """mmengine's RuntimeInfoHook, with values of the model that stay on their device.

    mmengine's hook reads each value of each iteration back: a GPU then has nothing
    queued four times a step. Here a value is fetched when its history is read, which
    LoggerHook does at its interval, and all values since then with it, in a single
    transfer. Histories, logs and checkpoints are the same. The first iteration's values
    are read at once. It replaces mmengine's hook by its name::

        default_hooks = dict(runtime_info=dict(type='snnssl_mm.LazyInfoHook'))

    Args:
        defer: Whether values stay where they are; by default those do that are not on
            the CPU.
    """

    def __init__(self, defer: bool | None = None) -> None:
        self.defer = defer
        self.pending = PendingValues()

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Record the values of the model, on their device if possible."""
        hub = runner.message_hub
        known = {
            name: value
            for name, value in (outputs or {}).items()
            if not self.record_later(hub, f"train/{name}", value)
        }
        super().after_train_iter(runner, batch_idx, data_batch, known)

    def record_later(self, hub: MessageHub, key: str, value: Any) -> bool:
        """Keep a floating-point scalar on its device; return whether it was kept."""
        defer = is_on_device(value) if self.defer is None else self.defer
        history = hub.log_scalars.get(key)
        if not defer or history is None:
            return False
        if not value.is_floating_point() or value.numel() != 1:
            return False
        if not isinstance(history, LazyHistory):
            history = hub.log_scalars[key] = LazyHistory(history, self.pending)
        self.pending.add(history, value)
        return True
