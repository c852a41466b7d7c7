"""Expansion of integer neurons: D binary steps in place of each integer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnssl_mm.neurons.kernels.integer_reference import mixed_ilif
from snnssl_mm.neurons.kernels.reference import LIFParameters
from snnssl_mm.neurons.mixed_ilif import MixedILIF
from snnssl_mm.neurons.paths import MixedNeuron


def mean_of_steps(x: Tensor, steps: int) -> Tensor:
    """Average each ``steps`` successive steps of ``x`` [T steps, ...]: [T, ...]."""
    return x if steps == 1 else x.unflatten(0, (-1, steps)).mean(1)


def hold_steps(x: Tensor, steps: int) -> Tensor:
    """Hold each step of ``x`` [T, ...] for ``steps`` steps: [T steps, ...]."""
    if steps == 1:
        return x
    return x.unsqueeze(1).expand(-1, steps, *x.shape[1:]).flatten(0, 1)


def hold_mean(x: Tensor, steps: int) -> Tensor:
    """Replace each ``steps`` successive steps of ``x`` [T steps, ...] by their mean."""
    return hold_steps(mean_of_steps(x, steps), steps)


class ExpandedILIF(MixedNeuron):
    """MixedILIF that gets D steps and emits D binary steps for each of its own.

    Its input current is the mean over D steps, and it emits n ones, then D - n zeros,
    for the integer n. The order makes max-pooling of the steps that of the integers.

    Args:
        neuron: The integer neuron, with ``normalize=True``: the mean of the D binary
            steps is then its output.
    """

    def __init__(self, neuron: MixedILIF) -> None:
        super().__init__(neuron.backend)
        if not neuron.config.normalize:
            raise ValueError(
                "expand_to_spikes needs MixedILIF(normalize=True), whose output is the "
                "mean of binary steps; with normalize=False scale the weights after it "
                f"by levels={neuron.config.levels} and set normalize=True"
            )
        self.config = neuron.config
        self.unnormalized = neuron.config._replace(normalize=False)

    @property
    def for_kernels(self) -> LIFParameters:
        """The parameters in the form that the compiled kernels take."""
        return self.unnormalized.for_kernels

    def reference(self, x: Tensor) -> Tensor:
        """Compute integers in plain torch."""
        return mixed_ilif(x, self.unnormalized, self.path)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # no batch norm
        """Compute binary steps [T D, N, ...] for the current ``x`` [T D, N, ...]."""
        levels = self.config.levels
        if self.path != "spike" or self.training:
            raise ValueError(
                "an expanded network is for inference: eval mode and path 'spike'; "
                "train the network with integers, and expand it then"
            )
        if x.shape[0] % levels:
            raise ValueError(
                f"a neuron of {levels} binary steps got {x.shape[0]} steps, which "
                f"{levels} does not divide"
            )
        current = x.unflatten(0, (-1, levels)).mean(1)
        counts = super().forward(current)
        order = torch.arange(1, levels + 1, device=x.device)
        ones = counts.unsqueeze(1) >= order.view(-1, *(1,) * (counts.dim() - 1))
        return ones.to(x.dtype).flatten(0, 1)

    def extra_repr(self) -> str:
        """Return the number of binary steps."""
        return f"levels={self.config.levels}"


def expand_to_spikes(module: nn.Module) -> nn.Module:
    """Turn a network of integer neurons into one of binary neurons, in place.

    Each :class:`MixedILIF` of D levels then emits D binary steps for each of its time
    steps, and the network has D times as many: an integer n is n ones. What lies
    between neurons in eval mode (convolutions, batch norms, sums of branches) is
    linear, so its mean over the D steps is what it computes of the integers. Layers
    that are not, attention and max-pooling of currents, have an attribute
    ``spike_steps`` and take that mean first. The features, averaged over time, are the
    same up to rounding; that is the proof that training with integers trains a spiking
    network.

    Args:
        module: A trained network, whose integer neurons have the same number of levels
            and ``normalize=True``; it is put into eval mode.

    Returns:
        The module, or its expansion if it is a neuron itself.

    Raises:
        ValueError: If it has no integer neurons, or others too, or a backbone that
            cannot be expanded.
    """
    neurons = {n: m for n, m in module.named_modules() if isinstance(m, MixedNeuron)}
    kinds = {type(neuron).__name__ for neuron in neurons.values()}
    integer = kinds == {MixedILIF.__name__}
    found = {neuron.config.levels for neuron in neurons.values()} if integer else set()
    if len(found) != 1:
        raise ValueError(
            "expand_to_spikes needs a network of MixedILIF neurons with one number of "
            f"levels, got {sorted(kinds) or 'no neurons'} with levels {sorted(found)}"
        )
    (levels,) = found
    part: Any
    for name, part in module.named_modules():
        if hasattr(part, "time_steps") and not hasattr(part, "spike_steps"):
            raise ValueError(
                f"{name or type(part).__name__} cannot be expanded: "
                f"{type(part).__name__} has no attribute spike_steps"
            )
    expanded = {
        name: ExpandedILIF(neuron)
        for name, neuron in neurons.items()
        if isinstance(neuron, MixedILIF)
    }
    for part in module.modules():
        if hasattr(part, "spike_steps"):
            part.spike_steps = levels
        if hasattr(part, "time_steps"):
            part.time_steps *= levels
    for name, neuron in expanded.items():
        if not name:
            return neuron.eval()
        module.set_submodule(name, neuron)
    return module.eval()
