"""Operations of spiking ResNets: torchvision's MACs, and what spikes drive."""

import pytest
import torch
import torchvision
from mmengine.analysis import FlopAnalyzer

from snnssl_mm.models import SpikingResNet
from snnssl_mm.recording.operations import OperationCounter

IMAGE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def layers(shortcut, steps):
    torch.manual_seed(0)
    model = SpikingResNet(18, shortcut, time_steps=steps).train()
    with torch.no_grad():
        for _ in range(3):  # statistics with which neurons fire
            model(torch.cat([IMAGE, -IMAGE]))
        with OperationCounter(model.eval()) as counter:
            model(IMAGE)
    return {layer.name: layer for layer in counter.layers}


@pytest.mark.parametrize("shortcut", ["sew", "spiking"])
def test_macs_are_those_of_the_resnet_at_every_step(shortcut):
    analyzer = FlopAnalyzer(torchvision.models.resnet18(), IMAGE)
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_module = analyzer.by_module()
    found = layers(shortcut, steps=3)
    assert len(found) == 20
    for name, layer in found.items():
        once = name == "conv1"  # of a still image
        assert layer.macs == by_module[name] * (1 if once else 3)


def test_what_drives_a_layer():
    """Additions of spikes give integers; membrane shortcuts carry currents."""
    for shortcut, others in {
        "spiking": {},
        "sew": {"layer1.1.conv1": "integers", "layer2.0.downsample.0": "integers"},
        "ms": {"layer1.0.downsample.0": "real", "layer2.0.downsample.0": "real"},
    }.items():
        kinds = {name: layer.kind for name, layer in layers(shortcut, steps=2).items()}
        for name in ("layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv2"):
            assert kinds[name] == "spikes"
        assert kinds["conv1"] == "real"
        assert {name: kinds[name] for name in others} == others
        if shortcut == "spiking":
            assert set(kinds.values()) == {"real", "spikes"}
