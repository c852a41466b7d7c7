"""A small spiking backbone, for tests of recording and drawing."""

import pytest
import torch

from snnssl_mm.models import Spikformer

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)


@pytest.fixture
def backbone():
    """Take BatchNorm statistics of a batch; initial ones keep deep layers silent."""
    torch.manual_seed(0)
    net = Spikformer(ARCH, out_indices=(0, 1, 2, 3), time_steps=3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.randn(2, 3, 64, 64))
    return net
