"""Blocks begin as their shortcuts where residual branches end with a batch norm."""

import pytest
import torch
from small_backbones import BACKBONES, SMALL

from snnssl_mm.models import MetaSpikeFormer, Spikformer, SpikingResNet
from snnssl_mm.models.init import branch_ends
from snnssl_mm.models.membrane_shortcut.base import MembraneBackbone

SHORTCUTS = [n for n, kind in BACKBONES.items() if issubclass(kind, MembraneBackbone)]
ZERO = dict(type="snnssl_mm.ZeroResidualInit")


def initialised(name, **options):
    torch.manual_seed(0)
    backbone = BACKBONES[name](**SMALL[name], **options)
    backbone.init_weights()
    return backbone


@pytest.mark.parametrize("name", SHORTCUTS)
def test_blocks_begin_as_identities(name):
    backbone, changed = initialised(name), []
    blocks = [child for child in backbone.modules() if branch_ends(child)]
    for block in blocks:
        block.register_forward_hook(
            lambda _, given, out: changed.append(not torch.equal(given[0], out))
        )
    backbone(torch.rand(2, 3, 32, 32))
    assert len(changed) >= len(blocks) >= 2
    assert not any(changed)


@pytest.mark.parametrize("name", SHORTCUTS)
def test_other_initialisations_replace_it(name):
    given = initialised(name, init_cfg=[])
    weights = [norm.weight for child in given.modules() for norm in branch_ends(child)]
    assert all((weight == 1).all() for weight in weights)


def first_to_last(backbone):
    """Ratio of the gradients of the first convolution and of the last map."""
    first = next(p for p in backbone.parameters() if p.dim() == 4)
    last = backbone(torch.rand(4, 3, 64, 64))[-1]
    last.retain_grad()
    torch.randn(last.shape).mul(last).sum().backward()
    return float(first.grad.norm() / last.grad.norm())


def test_gradients_of_deep_networks_do_not_explode():
    arch = dict(embed_dims=(8, 16, 32, 40), num_heads=4, depths=(3, 3))
    ratios = []
    for init_cfg in ([], None):
        torch.manual_seed(0)
        backbone = MetaSpikeFormer(arch, init_cfg=init_cfg).train()
        backbone.init_weights()
        ratios.append(first_to_last(backbone))
    assert ratios[0] > 100 * ratios[1]


def test_spiking_resnets_take_it_where_branches_end_with_a_norm():
    for shortcut in ("ms", "spiking"):
        network = SpikingResNet(18, **RESNET, shortcut=shortcut, init_cfg=ZERO)
        network.init_weights()
        ends = [norm for child in network.modules() for norm in branch_ends(child)]
        assert len(ends) == 4
        assert all((norm.weight == 0).all() for norm in ends)


RESNET = dict(base_channels=8, num_stages=2, stem="cifar")


@pytest.mark.parametrize(
    "network",
    [
        lambda: Spikformer(**SMALL["Spikformer"], init_cfg=ZERO),
        lambda: SpikingResNet(18, **RESNET, shortcut="sew", init_cfg=ZERO),
    ],
    ids=["Spikformer", "SEW-ResNet"],
)
def test_branches_that_end_with_a_neuron_are_refused(network):
    with pytest.raises(ValueError, match=type(network()).__name__):
        network().init_weights()
