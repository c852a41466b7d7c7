"""Recording of the outputs of a running network's layers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.neurons import MixedNeuron, set_path


@contextlib.contextmanager
def outputs_passed_to(
    callback: Callable[[str, Tensor], None], modules: Mapping[str, nn.Module]
) -> Iterator[None]:
    """Call ``callback`` with the name and the output of modules whenever they run."""

    def make_hook(name: str) -> Any:
        return lambda _module, _inputs, output: callback(name, output)

    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(make_hook(name)).remove)
        yield


def neurons_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return every MixedLIF of a model, by name, except those of a teacher.

    The teacher of DualPathSSL is not trained, and no part of the result.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, MixedNeuron) and not name.startswith("teacher.")
    }


@contextlib.contextmanager
def recorded_spikes(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the first sample's spikes of every MixedLIF in ``model``.

    Yields:
        Boolean spikes ``[T, ...]`` by the name of the neuron, in the order of
        execution; empty until the network runs.
    """
    fired: dict[str, Tensor] = {}

    def record(name: str, output: Tensor) -> None:
        fired[name] = output[:, 0].bool().cpu()

    with outputs_passed_to(record, neurons_of(model)):
        yield fired


@torch.no_grad()
def run_spiking(backbone: nn.Module, inputs: Tensor) -> Any:
    """Run inputs through a backbone's spiking path, on its device.

    The backbone stays in evaluation mode on the spiking path.
    """
    set_path(backbone.eval(), "spike")
    return backbone(inputs.to(next(backbone.parameters()).device))


def layer_name(neuron: str) -> str:
    """Return the name of the layer that a neuron belongs to."""
    return re.sub(r"\.(attention_)?neuron$", "", neuron)
