"""A network's operations are those counted by hand, SpikingJelly's and mmengine's."""

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from spikingjelly.activation_based.op_counter import (
    DispatchCounterMode,
    MACCounter,
    SynOpCounter,
)
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from snnssl_mm.models import Spikformer
from snnssl_mm.recording.operations import OPERANDS, OperationCounter

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=2)


@pytest.fixture
def network():
    """With BatchNorm statistics of a batch: initial ones leave deep layers silent."""
    torch.manual_seed(0)
    net = Spikformer(ARCH, time_steps=3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64))
    return net.eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def count(model, *inputs):
    """Layers of one call, by name."""
    with torch.no_grad(), OperationCounter(model) as counter:
        model(*inputs)
    return {layer.name: layer for layer in counter.layers}


def test_hand_counted_spikformer(network, images):
    """T = 3, 2 images of 64 px, a stem of 2, 4, 8 and 16 channels and stride 16."""
    runs, tokens, head = 3 * 2, 4 * 4, 8
    found = count(network, images)
    stem = {
        "stem.stages.0.conv": 2 * 64 * 64 * 3 * 2 * 9,  # once, not three times
        "stem.stages.1.conv": runs * 32 * 32 * 2 * 4 * 9,
        "stem.stages.2.conv": runs * 16 * 16 * 4 * 8 * 9,
        "stem.stages.3.conv": runs * 8 * 8 * 8 * 16 * 9,
        "stem.position.conv": runs * tokens * 16 * 16 * 9,
    }
    block = {
        "attention.qkv.conv": runs * tokens * 16 * 48,
        "attention (product 1)": runs * 2 * head * tokens * head,
        "attention (product 2)": runs * 2 * head * head * tokens,
        "attention.projection.conv": runs * tokens * 16 * 16,
        "mlp.0.conv": runs * tokens * 16 * 32,
        "mlp.1.conv": runs * tokens * 32 * 16,
    }
    expected = stem | {f"blocks.0.{name}": macs for name, macs in block.items()}
    assert {name: layer.macs for name, layer in found.items()} == expected
    kinds = dict.fromkeys(expected, "spikes")
    kinds["stem.stages.0.conv"] = "real"
    kinds["blocks.0.attention.qkv.conv"] = "integers"  # the trunk, after an addition
    kinds["blocks.0.mlp.0.conv"] = "integers"
    assert {name: layer.kind for name, layer in found.items()} == kinds


def test_rates_in_the_spikformer_are_those_of_the_neurons(network, images):
    """Attention: k drives v k^T where it is the sparser; q drives what follows."""
    seen = {}
    attention = network.blocks[0].attention
    for name, module in (
        ("qkv", attention.qkv.neuron),
        ("out", attention.attention_neuron),
        ("hidden", network.blocks[0].mlp[0].neuron),
    ):
        module.register_forward_hook(lambda _, x, y, name=name: seen.update({name: y}))
    found = count(network, images)
    means = {name: y.double().mean().item() for name, y in seen.items()}
    q, k, v = (x.double().mean().item() for x in seen["qkv"].chunk(3, dim=2))
    rates = {name: layer.rate for name, layer in found.items()}
    assert rates["blocks.0.attention (product 1)"] == pytest.approx(min(k, v))
    assert rates["blocks.0.attention (product 2)"] == pytest.approx(q)
    assert rates["blocks.0.attention.projection.conv"] == pytest.approx(means["out"])
    assert rates["blocks.0.mlp.1.conv"] == pytest.approx(means["hidden"])
    assert min(q, k, v, *means.values()) > 0.01, "no layer of this test is silent"


class Kernels(TorchDispatchMode):
    """List the products and the compiled kernels that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._overloadpacket in OPERANDS or func.namespace == "snnssl_mm":
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_counting_changes_neither_the_result_nor_the_kernels(network, images):
    with torch.no_grad():
        with Kernels() as plain:
            expected = network(images)
        with Kernels() as counted, OperationCounter(network):
            result = network(images)
    assert counted.names == plain.names
    assert "snnssl_mm::norm_mixed_lif" in plain.names, "the fused kernel is in use"
    assert all(map(torch.equal, result, expected))


def test_macs_are_those_of_spikingjelly(network, images):
    """It counts as MACs what no spikes drive: integers as MACs, as we do."""
    other = MACCounter()
    with torch.no_grad(), DispatchCounterMode([other]):
        network(images)
    layers = count(network, images).values()
    ours = sum(layer.macs for layer in layers if layer.kind != "spikes")
    assert other.get_total() == ours > 0


def test_sops_are_those_of_spikingjelly(network, images):
    """Of 1x1 convolutions; elsewhere it counts otherwise, and never more.

    At the border it leaves out the places where a spike meets padding, and a product
    of spikes by spikes counts where both are 1, not by the rate of the sparser one.
    """
    other = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([other]):
        network(images)
    ours = count(network, images)
    theirs = {
        name.removeprefix("Spikformer."): sum(counts.values())
        for name, counts in other.get_counts().items()
    }
    for name in ("blocks.0.attention.projection.conv", "blocks.0.mlp.1.conv"):
        assert theirs[name] == pytest.approx(ours[name].sops) != 0
    for name in ("stem.stages.1.conv", "stem.position.conv"):
        assert 0.5 * ours[name].sops < theirs[name] < ours[name].sops
    products = [layer.sops for name, layer in ours.items() if "(product" in name]
    attention = theirs["blocks.0.attention"] - theirs["blocks.0.attention.projection"]
    assert 0 < attention < sum(products)


def test_macs_are_those_of_mmengine(network, images):
    """It calls them FLOPs, and adds those of batch norms, which we take as folded."""
    analyzer = FlopAnalyzer(network, images)
    analyzer.unsupported_ops_warnings(False)
    flops = analyzer.by_operator()
    found = count(network, images)
    products = [layer.macs for name, layer in found.items() if "(product" in name]
    convolutions = [layer.macs for name, layer in found.items() if "conv" in name]
    assert flops["conv"] == sum(convolutions)
    assert flops["matmul"] == sum(products)
    assert set(flops) == {"conv", "matmul", "batch_norm"}
