"""Copy of a network for export: spiking, eval mode, plain torch operators."""

from __future__ import annotations

import copy

import torch

from snnssl_mm.models.backbone import SpikingBackbone, run_plainly
from snnssl_mm.neurons import MixedNeuron, set_path


def plain_copy(backbone: SpikingBackbone, dtype: torch.dtype) -> SpikingBackbone:
    """Copy a backbone to the CPU in inference mode, with neurons in plain torch."""
    network = copy.deepcopy(backbone).cpu().to(dtype).eval()
    network.run = run_plainly
    set_path(network, "spike")
    for module in network.modules():
        if isinstance(module, MixedNeuron):
            module.backend = "torch"
    return network
