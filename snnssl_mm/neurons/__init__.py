"""Spiking neurons in pure torch; nothing of OpenMMLab is needed to use them."""

from snnssl_mm.neurons.kernels.reference import Normalization
from snnssl_mm.neurons.mixed_lif import MixedLIF, set_path
from snnssl_mm.neurons.relu import ReLUNeuron
from snnssl_mm.neurons.surrogate import Surrogate

__all__ = ["MixedLIF", "Normalization", "ReLUNeuron", "Surrogate", "set_path"]
