"""Record what layers of a network put out while it runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.neurons import MixedLIF, set_path


@contextlib.contextmanager
def outputs_seen(
    modules: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Call ``see`` with the name and the output of modules whenever they run."""

    def hook_of(name: str) -> Any:
        return lambda _module, _inputs, output: see(name, output)

    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            stack.enter_context(module.register_forward_hook(hook_of(name)))
        yield


def neurons_of(model: nn.Module) -> dict[str, nn.Module]:
    """Find every MixedLIF below a model, by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, MixedLIF)}


@contextlib.contextmanager
def recorded_spikes(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the first sample's spikes of every MixedLIF below ``model``.

    Yields:
        By the name of the neuron, in the order of firing: ``[T, ...]``, boolean; empty
        until the network runs.
    """
    fired: dict[str, Tensor] = {}

    def see(name: str, output: Tensor) -> None:
        fired[name] = output[:, 0].bool().cpu()

    with outputs_seen(neurons_of(model), see):
        yield fired


@torch.no_grad()
def run_spiking(backbone: nn.Module, inputs: Tensor) -> Any:
    """Run inputs through a backbone's spiking path, on its device.

    The backbone is left in evaluation mode on that path.
    """
    set_path(backbone.eval(), "spike")
    return backbone(inputs.to(next(backbone.parameters()).device))


def layer_name(neuron: str) -> str:
    """Name of the layer that a neuron belongs to."""
    return re.sub(r"\.(attention_)?neuron$", "", neuron)
