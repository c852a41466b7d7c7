"""Spiking neurons in pure torch; nothing of OpenMMLab is needed to use them."""

from snnssl_mm.neurons.kernels.reference import (
    BatchNormalization,
    Normalization,
    RunningStatistics,
)
from snnssl_mm.neurons.mixed_lif import MixedLIF, set_path
from snnssl_mm.neurons.relu import ReLUNeuron
from snnssl_mm.neurons.surrogate import Surrogate

__all__ = [
    "BatchNormalization",
    "MixedLIF",
    "Normalization",
    "ReLUNeuron",
    "RunningStatistics",
    "Surrogate",
    "set_path",
]
