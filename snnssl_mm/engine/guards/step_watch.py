"""Whether losses and gradients are finite, without waiting for the device."""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnssl_mm.engine.lazy_history import fetch


class BadStep(NamedTuple):
    """The first step since the last reading with a value that is not finite.

    Attributes:
        steps_ago: Training steps that were made after it.
        reason: What was not finite.
    """

    steps_ago: int
    reason: str


class StepWatch:
    """Losses and states of the gradients since the last reading, on their device."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.states: list[Tensor] = []
        self.bad: Tensor | None = None  # 1 from the first non-finite gradient on

    def add_gradients(self, largest: Tensor) -> Tensor:
        """Note whether gradients are finite; may be captured in a CUDA graph.

        Args:
            largest: Their largest absolute value.

        Returns:
            1 if these or earlier ones are not finite, else 0: the ``found_inf`` by
            which fused optimizers skip their update.
        """
        if self.bad is None:
            self.bad = torch.zeros((), device=largest.device)
        bad = (~torch.isfinite(largest)).float()
        return torch.maximum(self.bad, bad, out=self.bad)

    def end_step(self, loss: Any) -> None:
        """Keep the loss of a step, and the state of the gradients after it."""
        device = None if self.bad is None else self.bad.device
        loss = loss if isinstance(loss, Tensor) else torch.tensor(loss, device=device)
        self.losses.append(loss.detach())
        self.states.append(loss.new_zeros(()) if self.bad is None else self.bad.clone())

    def fetch(self) -> BadStep | None:
        """Read all states, in a single transfer; return the first bad step, if any."""
        number = len(self.losses)
        values = fetch([*self.losses, *self.states])
        self.losses, self.states = [], []
        steps = zip(values[:number], values[number:], strict=True)
        for step, (loss, bad) in enumerate(steps, start=1):
            if bad or not isfinite(loss):
                if self.bad is not None:
                    self.bad.zero_()
                what = "gradients are not finite"
                if not isfinite(loss):
                    what = f"the loss is {loss}"
                return BadStep(number - step, what)
        return None
