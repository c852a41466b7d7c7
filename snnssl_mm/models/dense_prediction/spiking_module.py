"""Base class of spiking necks, heads and extractors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from mmengine.model import BaseModule
from torch import nn

from snnssl_mm.models.backbone import Checkpointed
from snnssl_mm.models.dense_prediction.firing import (
    NormNeuron,
    Places,
    insert_neurons,
)
from snnssl_mm.models.layers import NeuronConfig


class SpikingModule(Checkpointed, BaseModule):
    """Base class of what has neurons inside stock layers.

    Attributes:
        norm_eval: Whether the norms of neurons stay in eval mode while training.
    """

    norm_eval = False

    def make_spiking(
        self,
        module: nn.Module,
        neuron: NeuronConfig | None,
        norm: Mapping[str, Any] | None,
        norm_eval: bool,
        with_cp: bool,
        places: Places,
        levels: int = 1,
    ) -> None:
        """Put neurons into a stock module, which may be this one."""
        insert_neurons(module, neuron or {}, norm, places, levels)
        self.norm_eval = norm_eval
        self.with_cp = with_cp

    def init_weights(self) -> None:
        """Initialise the layers as the stock class does."""
        with norms_hidden(self):
            super().init_weights()

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; norms stay in eval mode if ``norm_eval`` says so."""
        super().train(mode)
        for neuron in norm_neurons(self) if self.norm_eval else ():
            neuron.norm.eval()
        return self


def norm_neurons(owner: nn.Module) -> list[Any]:
    """Return the neurons of a module that have a norm."""
    neurons = (child for child in owner.modules() if isinstance(child, NormNeuron))
    return [neuron for neuron in neurons if neuron.norm is not None]


@contextmanager
def norms_hidden(owner: nn.Module) -> Iterator[None]:
    """Hide the norms of neurons from initialisers.

    A head's ``init_cfg`` may initialise all weights below a name, such as
    ``shared_fcs``; what is meant are those of its layers.
    """
    neurons = norm_neurons(owner)
    norms = [neuron.norm for neuron in neurons]
    for neuron in neurons:
        neuron.norm = None
    try:
        yield
    finally:
        for neuron, norm in zip(neurons, norms, strict=True):
            neuron.norm = norm
