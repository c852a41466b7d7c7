"""LARS that does not wait for the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmpretrain.engine.optimizers import LARS as MMPretrainLARS
from torch import Tensor

from snnssl_mm.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class LARS(MMPretrainLARS):
    """mmpretrain's LARS (You et al., arXiv 1708.03888), all weights of a group at once.

    mmpretrain's reads two norms of each weight back to the host, and the host waits for
    the GPU as often. Arguments, state and results are the same; a group with
    ``lars_exclude`` is SGD with momentum.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step; return what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            pairs = [(w, w.grad) for w in group["params"] if w.grad is not None]
            if pairs:
                weights, grads = map(list, zip(*pairs, strict=True))
                self._step_group(group, weights, grads)
        return loss

    def _step_group(
        self, group: dict[str, Any], weights: list[Tensor], grads: list[Tensor]
    ) -> None:
        decay, momentum = group["weight_decay"], group["momentum"]
        updates = list(torch._foreach_add(grads, weights, alpha=decay))
        if group.get("lars_exclude", False):
            torch._foreach_mul_(updates, group["lr"])
        else:
            size, slope = (
                torch.stack(torch._foreach_norm(tensors))
                for tensors in (weights, grads)
            )
            rate = group["eta"] * size / (slope + decay * size + self.eps)
            rate = torch.where((size != 0) & (slope != 0), rate, 1.0) * group["lr"]
            torch._foreach_mul_(updates, rate.unbind())
        if momentum != 0:
            states = [self.state[weight] for weight in weights]
            for state, update in zip(states, updates, strict=True):
                if "momentum_buffer" not in state:  # so that this step leaves `update`
                    state["momentum_buffer"] = update * (group["dampening"] / momentum)
            buffers = [state["momentum_buffer"] for state in states]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, updates, alpha=1 - group["dampening"])
            if group["nesterov"]:
                torch._foreach_add_(updates, buffers, alpha=momentum)
            else:
                updates = buffers
        torch._foreach_sub_(weights, updates)
