"""Operations of every layer in a forward pass, and the spikes that drive them.

Counts every convolution and matrix product of any module, from OpenMMLab or not,
whatever the layers are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count

from snnssl_mm.neurons import MixedILIF, MixedNeuron
from snnssl_mm.neurons.expansion import ExpandedILIF

aten = torch.ops.aten

KINDS = ("spikes", "integers", "real")
"""Kinds of input: only 0 and 1, small integers >= 0, any numbers."""

MAX_SPIKES = 64
"""Largest integer that counts as a sum of spikes.

The trunk of a Spikformer holds at most 2, and 2 more after each block: 34 after 16
blocks. The pixels of an unnormalised image go up to 255.
"""

MAX_EVENTS = 2**24
"""Largest count of events: float32 holds no larger ones exactly."""

OPERANDS = {
    aten.mm: (0, 1),
    aten.bmm: (0, 1),
    aten.mv: (0, 1),
    aten.dot: (0, 1),
    aten.addmm: (1, 2),
    aten.addmm_: (1, 2),  # mmcv's deformable convolution
    aten.addmv: (1, 2),
    aten.baddbmm: (1, 2),
    aten.baddbmm_: (1, 2),
    aten.convolution: (0, 1),
}
"""Counted operators, and the indices of the arguments that they multiply."""


@dataclass
class Drive:
    """Statistics of one input of a layer, summed over all calls.

    Attributes:
        kind: One of :data:`KINDS`, the most general of all calls.
        sops: Synaptic operations: MACs of each call times the mean value of this
            input, which for spikes is the firing rate. Meaningless for kind ``'real'``.
    """

    kind: str = KINDS[0]
    sops: float = 0.0


@dataclass
class LayerOperations:
    """Operations of one layer, summed over all its calls.

    Attributes:
        name: Name of the module that owns the weights, such as
            ``backbone.stem.stages.1.conv``. A product of two inputs, as in attention,
            has the name of the module that computes it and its number there:
            ``backbone.blocks.0.attention (product 1)``.
        macs: Multiply-accumulate operations, counting every input value.
        inputs: Its one or two inputs. The sparser one drives the layer: spikes before
            integers before real numbers, and the smaller sum among equals. It is
            chosen over all calls, so it does not depend on how images are batched.
    """

    name: str
    macs: int = 0
    inputs: list[Drive] = field(default_factory=list)

    def add(self, macs: int, inputs: Sequence[tuple[str, float]]) -> None:
        """Add one call: ``macs`` operations on inputs of these kinds and means."""
        self.macs += macs
        self.inputs += [Drive() for _ in inputs[len(self.inputs) :]]
        for drive, (kind, mean) in zip(self.inputs, inputs, strict=True):
            drive.kind = max(drive.kind, kind, key=KINDS.index)
            drive.sops += macs * mean

    @property
    def driver(self) -> Drive:
        """The input that drives the layer."""
        return min(self.inputs, key=lambda x: (KINDS.index(x.kind), x.sops))

    @property
    def kind(self) -> str:
        """Kind of the driving input."""
        return self.driver.kind

    @property
    def sops(self) -> float:
        """Synaptic operations of the driving input; meaningless for ``'real'``."""
        return self.driver.sops

    @property
    def rate(self) -> float | None:
        """Mean value of the driving input, weighted by MACs; None for ``'real'``."""
        return None if self.kind == "real" else self.sops / self.macs


def kind_and_mean(
    x: Tensor, levels: int = 1, largest: float = MAX_SPIKES
) -> tuple[str, float]:
    """Return the kind of ``x`` [...], one of :data:`KINDS`, and its mean.

    Args:
        x: Input of a layer.
        levels: D of integer neurons whose output is divided by it: n / D is n spikes.
        largest: Largest integer that counts as a sum of spikes.
    """
    if x.dtype == torch.bool:
        x = x.to(torch.uint8)
    counts = x
    if x.is_floating_point():
        counts = (x * levels).round()
        if not bool((x == counts / levels).all()):  # also if NaN
            return "real", 1.0
    low, high = counts.aminmax()
    if not (low >= 0 and high <= largest):
        return "real", 1.0
    mean = float(counts.sum(dtype=torch.float64)) / counts.numel()
    return ("spikes" if high <= 1 else "integers"), mean


def scales_of(model: nn.Module) -> list[int]:
    """Values of D that inputs n / D of a model's layers may have, ascending.

    D is 1 for MixedLIF, and for an integer neuron that emits n itself. An expanded
    integer neuron emits spikes, and attention gets their mean over D steps.
    """
    neurons = [m for m in model.modules() if isinstance(m, MixedNeuron)]
    return sorted(set().union(*map(scales_after, neurons)) or {1})


def scales_after(neuron: MixedNeuron) -> set[int]:
    """Values of D that inputs n / D of the layers after a neuron may have."""
    if isinstance(neuron, ExpandedILIF):
        return {1, neuron.config.levels}
    normalized = isinstance(neuron, MixedILIF) and neuron.config.normalize
    return {neuron.config.levels if normalized else 1}


def count_macs(operator: Any, args: Sequence[Any], output: Tensor) -> int:
    """Count the multiply-accumulate operations of a call of an operator in OPERANDS.

    Padding counts as input, as papers count FLOPs.
    """
    if operator is aten.convolution:
        x, weight, transposed = args[0], args[1], args[6]
        shapes = list(x.shape), list(weight.shape), list(output.shape)
        return int(conv_flop_count(*shapes, transposed)) // 2
    first = args[OPERANDS[operator][0]]
    return int(output.numel() * first.shape[-1])


class OperationCounter:
    """Context manager that counts the operations of everything that runs in it.

    A layer with weights is driven by its input, a product of two inputs by the sparser
    one. Of :class:`~snnssl_mm.neurons.MixedILIF`, an integer n counts as n spikes, also
    where the neuron emits n / D. A second ``with`` block adds to the counts.

    Args:
        model: Gives the layers their names; the block may also run a submodule only.
        largest: Largest integer that counts as a sum of spikes; :data:`MAX_EVENTS`
            for a network that reads frames of events.

    Attributes:
        layers: Operations of each layer, in the order of execution.

    Example:
        >>> layer = nn.Linear(4, 8, bias=False)
        >>> with OperationCounter(layer) as counter:
        ...     _ = layer(torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
        >>> (found,) = counter.layers
        >>> found.name, found.kind, found.macs, found.sops
        ('Linear', 'spikes', 32, 16.0)
    """

    def __init__(self, model: nn.Module, largest: float = MAX_SPIKES) -> None:
        self.largest = largest
        self.root = type(model).__name__
        self.scales = scales_of(model)
        self.names = {m: name or self.root for name, m in model.named_modules()}
        self.owners: dict[int, str] = {}
        for module, name in self.names.items():
            for attribute, parameter in module.named_parameters(recurse=False):
                # nn.MultiheadAttention has in_proj_weight and bias_k of its own
                inner = attribute.removesuffix("weight").rstrip("_")
                owner = f"{name}.{inner}" if inner else name
                self.owners.setdefault(parameter.untyped_storage().data_ptr(), owner)
        self.found: dict[str, LayerOperations] = {}
        self.running: list[tuple[str, list[int]]] = []
        self.stack = ExitStack()

    @property
    def layers(self) -> list[LayerOperations]:
        """Operations of each layer, in the order of execution."""
        return list(self.found.values())

    def __enter__(self) -> Self:
        self.running = [(self.root, [0])]
        with ExitStack() as stack:
            # Global hooks: MixedLIF would not fuse with a batch norm that has its own.
            before = register_module_forward_pre_hook(self._enter_module)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._leave_module, always_call=True)
            stack.callback(after.remove)
            # Fused attention hides its products.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            fast = torch.backends.mha.get_fastpath_enabled()
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            torch.backends.mha.set_fastpath_enabled(False)
            stack.enter_context(_Watch(self))
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _enter_module(self, module: nn.Module, _inputs: Any) -> None:
        name = self.names.get(module, self.running[-1][0])
        self.running.append((name, [0]))

    def _leave_module(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self.running.pop()

    def record(self, operator: Any, args: Sequence[Any], output: Tensor) -> None:
        """Count one call of an operator in OPERANDS."""
        macs = count_macs(operator, args, output)
        if not macs:
            return  # a head that got no proposals
        operands = [args[index] for index in OPERANDS[operator]]
        owners = [self.owners.get(x.untyped_storage().data_ptr()) for x in operands]
        name = next(filter(None, owners), None)
        if operator is aten.convolution:
            inputs, name = operands[:1], owners[1] or self.running[-1][0]
        else:
            inputs = [x for x, owner in zip(operands, owners, strict=True) if not owner]
        if name is None:
            running, products = self.running[-1]
            products[0] += 1
            name = f"{running} (product {products[0]})"
        measured = [self._kind_and_mean(x) for x in inputs] or [("real", 1.0)]
        self.found.setdefault(name, LayerOperations(name)).add(macs, measured)

    def _kind_and_mean(self, x: Tensor) -> tuple[str, float]:
        """Read ``x`` by the smallest D that makes spikes of it."""
        found = (kind_and_mean(x, levels, self.largest) for levels in self.scales)
        return next((f for f in found if f[0] != "real"), ("real", 1.0))


class _Watch(TorchDispatchMode):
    """Dispatch mode that passes every operator with a kernel to a counter."""

    def __init__(self, counter: OperationCounter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        operator = func._overloadpacket
        if operator not in OPERANDS:
            with self:  # torch.inference_mode does not decompose aten.linear etc.
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        self.counter.record(operator, args, output)
        return output
