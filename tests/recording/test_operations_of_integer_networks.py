"""An integer counts as so many spikes: operations of integer and binary networks."""

import pytest
import torch
from torch import nn

from snnssl_mm.models import ESpikeFormer
from snnssl_mm.neurons import MixedILIF, MixedLIF, expand_to_spikes
from snnssl_mm.recording.operations import OperationCounter, kind_and_mean
from snnssl_mm.testing import randomize_norms


def count(model, *inputs):
    with torch.no_grad(), OperationCounter(model) as counter:
        model(*inputs)
    return {layer.name: layer for layer in counter.layers}


@pytest.mark.parametrize("levels", [4, 3, 7])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_integer_is_so_many_accumulations(levels, normalize, dtype):
    """0, 1, ..., D drive D (D + 1) / 2 accumulations for each of 5 outputs."""
    model = nn.Sequential(MixedILIF(levels, normalize), nn.Linear(levels + 1, 5)).to(
        dtype
    )
    (layer,) = count(
        model, torch.arange(levels + 1.0).view(1, 1, -1).to(dtype)
    ).values()
    assert (layer.kind, layer.macs) == ("integers", 5 * (levels + 1))
    assert layer.sops == pytest.approx(5 * levels * (levels + 1) / 2)


def test_a_saturated_integer_neuron_is_not_a_single_spike():
    model = nn.Sequential(MixedILIF(4), nn.Linear(3, 5))
    (layer,) = count(model, torch.tensor([[[9.0, 9.0, -1.0]]])).values()
    assert (layer.kind, layer.sops) == ("integers", pytest.approx(2 * 4 * 5))


def test_spikes_beside_integers_are_spikes():
    model = nn.Sequential(MixedLIF(), nn.Linear(2, 3), MixedILIF(4), nn.Linear(3, 1))
    model[1].weight.data.fill_(1)
    model[1].bias.data.fill_(1)
    first, second = count(model, torch.tensor([[[2.0, 0.0]]])).values()
    assert (first.kind, first.sops) == ("spikes", pytest.approx(3))
    assert (second.kind, second.sops) == ("integers", pytest.approx(2 * 3))


@pytest.mark.parametrize("value", [0.3, -0.25, float("nan"), float("inf"), 17.0])
def test_other_numbers_are_real(value):
    assert kind_and_mean(torch.tensor([0.25, value]), 4)[0] == "real"


def test_expanded_network_has_the_operations_of_the_integer_one():
    """Per layer: D times the MACs, and as many accumulations."""
    torch.manual_seed(0)
    model = ESpikeFormer(dict(embed_dims=(8, 8, 16, 24), depths=(2, 1))).double()
    randomize_norms(model, (0.8, 1.8), (0.1, 1.0)).eval()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    integer = count(model, images)
    binary = count(expand_to_spikes(model), images)
    assert integer.keys() == binary.keys()
    weighted = [name for name, x in integer.items() if x.kind == "integers"]
    assert len(weighted) > 20
    for name in weighted:
        if "product" in name:  # attention takes the mean over the steps first
            continue
        assert binary[name].kind == "spikes"
        assert binary[name].macs == 4 * integer[name].macs
        assert binary[name].sops == pytest.approx(integer[name].sops)
