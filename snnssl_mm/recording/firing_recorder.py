"""Counters of the spikes of every layer of a running network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from snnssl_mm.neurons import MixedNeuron
from snnssl_mm.recording.spike_recording import layer_name, neurons_of

FSDP_PREFIX = "_fsdp_wrapped_module."


class LayerFiring(NamedTuple):
    """Firing statistics of one layer.

    Each position of a layer's output is a neuron of its own: [C, H, W] after a
    convolution, [heads, d, L] in attention.

    Attributes:
        name: The layer, such as ``stem.stages.0``.
        rates: Firing rate of each time step, ``[T]``: spikes per neuron, 0 to 1; of
            integer neurons, per binary step.
        neurons: Number of neurons.
        dead: Number of neurons that never fired, for any image and time step.
        saturated: Number of neurons that fired for every image and time step.
    """

    name: str
    rates: list[float]
    neurons: int
    dead: int
    saturated: int


class FiringCounter:
    """Forward hook that counts the spikes of one layer on the spiking path.

    On path ``'dual'`` it counts the first half of the samples, on ``'analog'``
    nothing. It keeps two bytes per neuron and one sum per time step, for any number of
    images. If images differ in size, a neuron is identified by its row and column (in
    attention by the index of its token).
    """

    def __init__(self) -> None:
        self.spikes: list[Tensor | float] = []  # one sum per time step
        self.outputs: list[int] = []
        self.images = 0
        self.seen: Tensor | None = None  # [2, ...]: fired, was silent, at least once

    @torch.no_grad()
    def __call__(self, neuron: MixedNeuron, _inputs: Any, output: Tensor) -> None:
        """Count one output ``[T, N, ...]``."""
        if neuron.path == "analog":
            return
        if neuron.path == "dual":
            output = output[:, : output.shape[1] // 2]
        if neuron.largest != 1:
            output = output / neuron.largest
        samples = output.shape[1]
        self.images += samples
        while len(self.spikes) < len(output):
            self.spikes.append(0.0)
            self.outputs.append(0)
        for step, spikes in enumerate(output):
            counts = spikes_per_neuron(spikes)
            self.spikes[step] = self.spikes[step] + counts.sum(dtype=torch.float64)
            self.outputs[step] += spikes.numel()
            self.update_seen(torch.stack([counts > 0, counts < samples]))

    def update_seen(self, seen: Tensor) -> None:
        """Add which neurons fired, and which were silent, ``[2, ...]``."""
        if self.seen is None:
            self.seen = seen
        elif self.seen.shape == seen.shape:
            self.seen |= seen
        else:
            shape = tuple(map(max, self.seen.shape, seen.shape))
            self.seen = pad_mask(self.seen, shape) | pad_mask(seen, shape)

    def rates(self) -> list[float]:
        """Return the spikes per neuron of each time step, ``[T]``, 0 to 1."""
        return [
            float(spikes) / max(outputs, 1)
            for spikes, outputs in zip(self.spikes, self.outputs, strict=True)
        ]

    def layer(self, name: str) -> LayerFiring:
        """Return the statistics over the neurons that any image reached.

        Raises:
            ValueError: If the layer has not run.
        """
        if self.seen is None:
            raise ValueError(f"no spikes of {name} were counted; run the network first")
        fired, silent = self.seen
        return LayerFiring(
            name,
            self.rates(),
            neurons=int((fired | silent).sum()),
            dead=int((silent & ~fired).sum()),
            saturated=int((fired & ~silent).sum()),
        )


def spikes_per_neuron(spikes: Tensor) -> Tensor:
    """Sum ``spikes`` [N, ...] exactly over the samples, in memory order.

    torch is five times slower when it sums across a channels-last layout.
    """
    axes = range(1, spikes.dim())
    order = sorted(axes, key=lambda axis: -spikes.stride()[axis])
    counts = spikes.permute(0, *order).sum(0, dtype=torch.float32)
    return counts.permute([order.index(axis) for axis in axes])


def pad_mask(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pad ``mask`` at the end of each dimension with False, to ``shape``."""
    larger = mask.new_zeros(shape)
    larger[tuple(slice(size) for size in mask.shape)] = mask
    return larger


@contextmanager
def eager() -> Iterator[None]:
    """Run what ``torch.compile`` compiled as it is written, so that hooks are called.

    Compiled code calls only the hooks that a module had when it was compiled.
    """
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing is slow
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


class FiringRecorder:
    """Context manager that counts the spikes of every MixedLIF in a model.

    A second ``with`` block adds to the counts. The hooks are forward hooks, since
    forward pre-hooks on the neurons would keep the kernels from fusing the batch norm.
    While it counts, compiled code runs eagerly.

    Args:
        model: Any module with MixedLIF neurons.

    Raises:
        ValueError: If the model has none.

    Example:
        >>> from snnssl_mm.neurons import MixedLIF
        >>> model = nn.Sequential(MixedLIF(tau=1.0))
        >>> with FiringRecorder(model) as recorder:
        ...     _ = model(torch.tensor([[[2.0, 0.0, 2.0]], [[2.0, 0.0, 0.0]]]))
        >>> recorder.layers()[0].rates
        [0.6666666666666666, 0.3333333333333333]
    """

    def __init__(self, model: nn.Module) -> None:
        self.neurons = {
            name.replace(FSDP_PREFIX, "").removeprefix("backbone."): module
            for name, module in neurons_of(model).items()
        }
        if not self.neurons:
            raise ValueError(
                f"{type(model).__name__} has no MixedLIF neuron; firing rates are "
                "those of a spiking network such as snnssl_mm.Spikformer"
            )
        self.counters = {name: FiringCounter() for name in self.neurons}
        self.handles: list[Any] = []
        self.eagerness = ExitStack()

    def start(self) -> None:
        """Count from the next forward pass on."""
        self.eagerness.enter_context(eager())
        self.handles = [
            module.register_forward_hook(self.counters[name])
            for name, module in self.neurons.items()
        ]

    def stop(self) -> None:
        """Count no more; the counts stay."""
        for handle in self.handles:
            handle.remove()
        self.handles = []
        self.eagerness.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def totals(self) -> tuple[float, int]:
        """Return the spikes of all neurons, and their largest possible number."""
        counters = self.counters.values()
        spikes = sum(float(sum(counter.spikes)) for counter in counters)
        return spikes, sum(sum(counter.outputs) for counter in counters)

    def images(self) -> int:
        """Return how many images were counted.

        A layer with activation checkpointing sees each image twice (it recomputes in
        the backward pass), so this is the smallest count of all layers.
        """
        seen = (counter.images for counter in self.counters.values())
        return min((images for images in seen if images), default=0)

    def layers(self) -> list[LayerFiring]:
        """Return the layers that have run, in the order of the network."""
        return [
            counter.layer(layer_name(name))
            for name, counter in self.counters.items()
            if counter.images
        ]
