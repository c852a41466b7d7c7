"""Folded networks fire the same; what is no plain pair stays as it is."""

import copy

import pytest
import torch
from torch import nn

from snnssl_mm import models
from snnssl_mm.export import export_backbone
from snnssl_mm.export.folding import find_pairs, fold_norms, folded
from snnssl_mm.export.plain import plain_copy
from snnssl_mm.models.layers import ConvNormNeuron
from snnssl_mm.models.membrane_shortcut.rep_conv import RepConv
from snnssl_mm.neurons import MixedNeuron
from snnssl_mm.testing import randomize_norms

ALL = dict(out_indices=(0, 1, 2, 3), time_readout="none")
PLAIN = dict(embed_dims=16, depth=2)
HEADS = dict(PLAIN, num_heads=2)
STAGED = dict(embed_dims=(8, 16, 16, 32), depths=(1, 1), num_heads=2)
NETWORKS = {
    "Spikformer": dict(arch=HEADS),
    "SpikeDrivenTransformer": dict(arch=PLAIN, bn="per_view"),
    "MaxFormer": dict(arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=2)),
    "QKFormer": dict(arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=2)),
    "MetaSpikeFormer": dict(arch=STAGED, bn="per_view"),
    "ESpikeFormer": dict(arch=STAGED, time_steps=2),
    "Spikingformer": dict(arch=HEADS, out_indices=(2,)),
    "SpikingResNet": dict(depth=18, shortcut="ms", base_channels=8),
}
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.manual_seed(3))


def norms(network):
    kind = nn.modules.batchnorm._NormBase
    return {name for name, m in network.named_modules() if isinstance(m, kind)}


@pytest.fixture(params=NETWORKS)
def backbone(request):
    torch.manual_seed(0)
    options = {**ALL, **NETWORKS[request.param]}
    network = getattr(models, request.param)(**options)
    return randomize_norms(network, weight=(1.0, 3.0), bias=(0.0, 2.0)).eval()


@torch.no_grad()
def test_not_one_spike_differs_in_float64(backbone):
    plain = plain_copy(backbone, torch.float64)
    fired, copies = [], (plain, folded(backbone, (32, 32), torch.float64))
    maps = []
    for network in copies:
        spikes = []
        for module in network.modules():
            if isinstance(module, MixedNeuron):
                module.register_forward_hook(
                    lambda _m, _i, out, spikes=spikes: spikes.append(out)
                )
        maps.append(network(IMAGES.double()))
        fired.append(spikes)
    assert len(norms(plain)) > 10
    assert not norms(copies[1])
    assert len(fired[0]) == len(fired[1]) > 5
    for ours, theirs in zip(*fired, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for ours, theirs in zip(*maps, strict=True):
        assert theirs.std() > 0.05
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@torch.no_grad()
def test_what_a_kernel_computes_on_the_way_is_left_to_it(backbone):
    """In float32 on a CPU; the other norms go, and a fold after it finds none."""
    network = copy.deepcopy(backbone)
    gone = fold_norms(network, lambda: network(IMAGES[:1]))
    left = norms(network)
    assert left.isdisjoint(gone)
    assert left | set(gone) == norms(backbone)
    fused = [n for n, m in backbone.named_modules() if isinstance(m, ConvNormNeuron)]
    assert all(any(name.startswith(unit) for unit in fused) for name in left) or (
        type(backbone).__name__ == "SpikingResNet"
    )
    assert fold_norms(network, lambda: network(IMAGES[:1])) == []
    moved = [
        ((a - b).abs() > 1e-3).double().mean()
        for a, b in zip(network(IMAGES), backbone(IMAGES), strict=True)
    ]
    assert max(moved) < 0.01


class Net(nn.Module):
    """Convolution and norm, and something that makes them no plain pair."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3, padding=1, groups=1, bias=kind == "bias")
        self.other = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4, track_running_stats=kind != "no statistics")
        self.second = nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        match self.kind:
            case "shortcut":
                return self.norm(y) + y
            case "returned":
                return self.norm(y), y
            case "shared norm":
                return self.norm(y) + self.norm(self.other(x))
            case "shared convolution":
                return self.norm(y) + self.second(self.conv(x.flip(-1)))
            case "called twice":
                return self.norm(y) + self.norm(self.conv(x.flip(-1)))
            case "part":
                return self.norm(torch.cat([y[:, :2], y[:, 2:]], 1))
            case "crop":
                return self.norm(y[..., :2])
        return self.norm(y.unsqueeze(0).flatten(0, 1))


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("plain", 1),
        ("bias", 1),
        ("called twice", 1),
        ("shortcut", 0),
        ("returned", 0),
        ("shared norm", 0),
        ("shared convolution", 0),
        ("part", 0),
        ("crop", 0),
        ("no statistics", 0),
        ("training", 0),
    ],
)
@torch.no_grad()
def test_only_what_always_follows_each_other_is_folded(kind, pairs):
    torch.manual_seed(0)
    network = randomize_norms(Net(kind)).double().train(kind == "training")
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64)
    assert len(find_pairs(lambda: copy.deepcopy(network)(x))) == pairs
    expected = copy.deepcopy(network)(x)
    assert len(fold_norms(network, lambda: network(x))) == pairs
    if kind != "training":
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_folded_rep_conv_still_becomes_one_convolution():
    torch.manual_seed(0)
    layer = randomize_norms(RepConv(4, 3, "joint")).double().eval()
    x = torch.randn(2, 1, 4, 5, 6, dtype=torch.float64)
    expected = layer(x)
    assert fold_norms(layer, lambda: layer(x)) == ["expand_bn", "reduce_bn"]
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    conv = layer.folded()
    torch.testing.assert_close(conv(x.flatten(0, 1)), expected.flatten(0, 1))


def test_a_folded_program_has_no_norm_and_is_the_backbone(tmp_path):
    torch.manual_seed(0)
    options = dict(stem="cifar", base_channels=8, num_stages=1, time_steps=2)
    backbone = randomize_norms(models.SpikingResNet(18, "ms", **options)).eval()
    file = tmp_path / "x.pt2"
    found = export_backbone(backbone, file, "pt2", (8, 8), fold=True)
    assert found.startswith("0 of")
    assert found.endswith("moves 0")
    program = torch.export.load(file)
    called = [str(node.target) for node in program.graph.nodes]
    assert any("conv" in name for name in called)
    assert not any("batch_norm" in name for name in called)
    assert norms(backbone), "the backbone stays as it was"
