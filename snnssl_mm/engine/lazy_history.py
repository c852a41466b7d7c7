"""Histories of logged values, which stay on their device until somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

LONGEST = 10_000
"""Values that may wait on the device; each takes a block of 512 bytes there."""


def fetch(values: Sequence[Tensor]) -> list[float]:
    """Copy scalars of one device to the host, in a single transfer."""
    if not values:
        return []
    numbers: list[float] = torch.stack([v.reshape(()) for v in values]).tolist()
    return numbers


def is_on_device(value: Any) -> bool:
    """Whether reading ``value`` makes the host wait for a device."""
    return isinstance(value, Tensor) and value.device.type != "cpu"


def logging_interval(hooks: Sequence[Any]) -> int:
    """Return the interval of the LoggerHook among ``hooks``, in iterations."""
    return next((h.interval for h in hooks if hasattr(h, "ignore_last")), 10)


class PendingValues:
    """Values of several histories that were not fetched yet, in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[LazyHistory, Tensor]] = []

    def add(self, history: LazyHistory, value: Tensor) -> None:
        """Keep a value for later; fetch all if there are many."""
        self.entries.append((history, value.detach()))
        if len(self.entries) >= LONGEST:
            self.fetch()

    def fetch(self) -> None:
        """Append all values to their histories, in a single transfer."""
        entries, self.entries = self.entries, []
        found: dict[LazyHistory, list[float]] = {}
        numbers = fetch([value for _, value in entries])
        for (history, _), number in zip(entries, numbers, strict=True):
            found.setdefault(history, []).append(number)
        for history, own in found.items():
            history.extend(own)


class LazyHistory(HistoryBuffer):
    """mmengine's history of a logged value, which fetches pending values when read.

    Whoever reads a history, of this or of another value (logger, checkpoint, monitor),
    fetches the values of all histories that share ``pending``. What a checkpoint
    contains is a plain :class:`mmengine.logging.HistoryBuffer`.

    Args:
        history: History so far.
        pending: Values on the device.
    """

    def __init__(self, history: HistoryBuffer, pending: PendingValues) -> None:
        self.pending = pending
        super().__init__(*history.data, history.max_length)

    @property
    def _log_history(self) -> Any:
        self.pending.fetch()
        return self._values

    @_log_history.setter
    def _log_history(self, values: Any) -> None:
        self._values = values

    @property
    def _count_history(self) -> Any:
        self.pending.fetch()
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: Any) -> None:
        self._counts = counts

    def extend(self, numbers: Sequence[float]) -> None:
        """Append numbers of one iteration each."""
        values = np.append(self._values, numbers)
        counts = np.append(self._counts, np.ones(len(numbers), dtype=int))
        self._values = values[-self.max_length :]
        self._counts = counts[-self.max_length :]

    def __reduce__(self) -> tuple[Callable[..., HistoryBuffer], tuple[Any, ...]]:
        """Copy and pickle as mmengine's own history."""
        return HistoryBuffer, (self._log_history, self._count_history, self.max_length)
