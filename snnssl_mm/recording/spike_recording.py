"""Keep the spikes of every neuron layer while a network runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from snnssl_mm.neurons import MixedLIF


@contextlib.contextmanager
def recorded_spikes(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the first sample's spikes of every MixedLIF below ``model``.

    Yields:
        By the name of the neuron, in the order of firing: ``[T, ...]``, boolean; empty
        until the network runs.
    """
    fired: dict[str, Tensor] = {}

    def recorder(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            fired[name] = output[:, 0].bool().cpu()

        return hook

    handles = [
        module.register_forward_hook(recorder(name))
        for name, module in model.named_modules()
        if isinstance(module, MixedLIF)
    ]
    try:
        yield fired
    finally:
        for handle in handles:
            handle.remove()


def layer_name(neuron: str) -> str:
    """Name of the layer that a neuron belongs to."""
    return re.sub(r"\.(attention_)?neuron$", "", neuron)
