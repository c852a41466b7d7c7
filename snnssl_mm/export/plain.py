"""Copy of a network for export: spiking, eval mode, plain torch operators."""

from __future__ import annotations

import copy

import torch

from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.neurons import MixedNeuron, set_path


def plain_copy(backbone: SpikingBackbone, dtype: torch.dtype) -> SpikingBackbone:
    """Copy a backbone to the CPU in inference mode, with neurons in plain torch."""
    network = copy.deepcopy(backbone).cpu().to(dtype).eval()
    network.with_cp = False
    set_path(network, "spike")
    for module in network.modules():
        if isinstance(module, MixedNeuron):
            module.backend = "torch"
    return network
