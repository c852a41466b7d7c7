"""Graph of a backbone's layers, traced while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.neurons import MixedLIF

aten = torch.ops.aten

INPUT = "input"
"""Name of the images among the sources of a layer."""

LAYERS = (nn.Conv2d, _NormBase, MixedLIF)
"""Modules that are one layer each; in all others single operators are traced."""

MERGING = {aten.view, aten._unsafe_view, aten.expand, aten.unsqueeze, aten.clone}
"""Operators allowed if they change time and batch only, by their output shapes."""

REASONS = {
    aten.bmm: "a product of signals (attention)",
    aten.mul: "a product of signals (merge 'and')",
    aten.rsub: "the complement of a signal (merge 'iand')",
}
"""Operators of this package's networks that a graph of layers cannot express."""


class Layer(NamedTuple):
    """A layer and its inputs.

    Attributes:
        name: Name of the submodule, such as ``layer1.0.conv1``, or ``max_pool``.
        module: A convolution, a batch norm, a MixedLIF or an ``nn.MaxPool2d``.
        sources: Names of the layers whose sum is its input, or :data:`INPUT`.
        in_shape: ``(C, H, W)``.
        out_shape: ``(C, H', W')``.
    """

    name: str
    module: nn.Module
    sources: tuple[str, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


class SignalGraph(NamedTuple):
    """Layers by name, in the order of execution, and the sources of each output."""

    layers: dict[str, Layer]
    outputs: list[tuple[str, ...]]


class Signal(NamedTuple):
    """A tensor that depends on the images.

    Attributes:
        tensor: The tensor; kept alive, so that its id is not reused.
        sources: Names of the layers whose sum it is.
        is_map: Whether it is ``[..., C, H, W]``, as its sources gave it.
    """

    tensor: Tensor
    sources: tuple[str, ...]
    is_map: bool = True


class _Watcher(TorchDispatchMode):
    """Trace signals through every operator outside the layers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = {module: name for name, module in network.named_modules()}
        self.running: list[nn.Module] = []
        self.layers: dict[str, Layer] = {}
        self.signals: dict[int, Signal] = {}

    def follow(self, tensor: Tensor, *sources: str, is_map: bool = True) -> None:
        """Record that ``tensor`` is the sum of ``sources``."""
        self.signals[id(tensor)] = Signal(tensor, sources, is_map)

    def enter(self, module: nn.Module, _inputs: Any) -> None:
        """Record that a module's forward begins (a forward pre-hook)."""
        self.running.append(module)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Record that a module's forward ends (a forward hook); add layers."""
        self.running.pop()
        if isinstance(module, LAYERS) and module in self.names:
            self.add(self.names[module], module, inputs[0], output)

    def add(self, name: str, module: nn.Module, x: Tensor, output: Tensor) -> None:
        """Add a layer that computed ``output`` from ``x``."""
        signal = self.signals.get(id(x))
        if signal is None or not signal.is_map:
            self.refuse(f"a rearranged input of {name}")
        if name in self.layers:
            self.refuse(f"a second call of {name}")
        shapes = tuple(x.shape[-3:]), tuple(output.shape[-3:])
        self.layers[name] = Layer(name, module, signal.sources, *shapes)
        self.follow(output, name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if self.running and isinstance(self.running[-1], LAYERS):
            return output
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        inputs = [self.signals[id(x)] for x in given if id(x) in self.signals]
        if inputs and any(isinstance(x, Tensor) for x in tree_leaves(output)):
            self.record(func, args, kwargs, inputs, output)
        return output

    def record(
        self, func: Any, args: Any, kwargs: Any, inputs: Sequence[Signal], output: Any
    ) -> None:
        """Trace the signals through one operator, or refuse it."""
        operator, first = func._overloadpacket, inputs[0]
        maps = all(signal.is_map for signal in inputs)
        if operator in MERGING and output.shape[-3:] == first.tensor.shape[-3:]:
            self.follow(output, *first.sources, is_map=first.is_map)
        elif func.is_view or operator in (aten.clone, aten._unsafe_view):
            for part in tree_leaves(output):
                self.follow(part, *first.sources, is_map=False)
        elif operator is aten.add and len(inputs) == 2 and maps and not kwargs:
            sources = first.sources + inputs[1].sources
            if len(set(sources)) < len(sources):
                self.refuse("a signal twice in one sum")
            self.follow(output, *sources)
        elif operator is aten.max_pool2d_with_indices and self.spikes(first):
            name = f"max_pool{sum('max_pool' in name for name in self.layers) or ''}"
            self.add(name, nn.MaxPool2d(*args[1:]), first.tensor, output[0])
        elif operator is aten.max_pool2d_with_indices:
            self.refuse("a max-pooling of other values than spikes")
        else:
            self.refuse(REASONS.get(operator, str(func)))

    def spikes(self, signal: Signal) -> bool:
        """Whether ``signal`` is binary: the output of one neuron or pooling."""
        makers = [self.layers[n].module for n in signal.sources if n != INPUT]
        return len(makers) == 1 and isinstance(makers[0], MixedLIF | nn.MaxPool2d)

    def refuse(self, what: str) -> NoReturn:
        """Raise ValueError for a computation that a graph of layers cannot express."""
        name = self.names.get(self.running[-1], "") if self.running else ""
        raise ValueError(
            f"{name or 'the backbone'} computes {what}, for which NIR has no node; "
            "choose format 'pt2' or 'onnx'"
        )


@torch.no_grad()
def trace_signals(network: SpikingBackbone, image_size: tuple[int, int]) -> SignalGraph:
    """Trace the graph of ``network`` with one image and one time step.

    Args:
        network: Network in eval mode and float64, where no layers are fused.
        image_size: Height and width.

    Raises:
        ValueError: If an operator outside the layers does more than add signals and
            max-pool spikes.
    """
    clip = torch.zeros(1, 1, network.in_channels, *image_size, dtype=torch.float64)
    network._check_input(clip)
    watcher = _Watcher(network)
    watcher.follow(clip, INPUT)
    with ExitStack() as stack:
        stack.enter_context(register_module_forward_pre_hook(watcher.enter))
        stack.enter_context(register_module_forward_hook(watcher.leave))
        stack.enter_context(watcher)
        maps = network.extract_maps(clip)
    outputs = [watcher.signals[id(maps[i])] for i in network.out_indices]
    return SignalGraph(watcher.layers, [signal.sources for signal in outputs])
