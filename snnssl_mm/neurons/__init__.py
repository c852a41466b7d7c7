"""Spiking neurons in pure torch; nothing of OpenMMLab is needed to use them."""

from snnssl_mm.neurons.expansion import expand_to_spikes
from snnssl_mm.neurons.kernels.reference import (
    BatchNormalization,
    Normalization,
    RunningStatistics,
)
from snnssl_mm.neurons.mixed_ilif import MixedILIF
from snnssl_mm.neurons.mixed_lif import MixedLIF
from snnssl_mm.neurons.paths import MixedNeuron, set_path
from snnssl_mm.neurons.relu import ReLUNeuron
from snnssl_mm.neurons.surrogate import Surrogate

__all__ = [
    "BatchNormalization",
    "MixedILIF",
    "MixedLIF",
    "MixedNeuron",
    "Normalization",
    "ReLUNeuron",
    "RunningStatistics",
    "Surrogate",
    "expand_to_spikes",
    "set_path",
]
