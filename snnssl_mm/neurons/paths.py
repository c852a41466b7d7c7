"""Paths of a neuron: spiking, analog, or one for each view of a batch."""

from __future__ import annotations

from typing import Any

from torch import nn

PATHS = ("spike", "analog", "dual")


class MixedNeuron(nn.Module):
    """Base class of neurons with a spiking and an analog path.

    Path ``'dual'`` takes the first half of the samples as view A through the spiking
    path and the rest as view B through the analog one. Inference and every downstream
    task use ``'spike'``, the default.

    Attributes:
        config: Named tuple of every setting that changes the result.
        backend: Name of the kernels.
        largest: Largest output of the spiking path: 1, or D of an integer neuron.
    """

    config: Any
    backend: str
    largest: float = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._path = "spike"

    @property
    def path(self) -> str:
        """The emitted output, ``'spike'``, ``'analog'`` or ``'dual'``."""
        return self._path

    @path.setter
    def path(self, value: str) -> None:
        if value not in PATHS:
            raise ValueError(f"unknown path {value!r}; expected one of {PATHS}")
        self._path = value


def set_path(module: nn.Module, path: str) -> int:
    """Set ``path`` on every neuron with paths in ``module``; return how many it has."""
    neurons = [child for child in module.modules() if isinstance(child, MixedNeuron)]
    for neuron in neurons:
        neuron.path = path
    return len(neurons)
