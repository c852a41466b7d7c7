"""Batch norm, neuron and max-pooling as one layer."""

import pytest
import torch
from torch import nn

from snnssl_mm.models import PerViewBatchNorm2d, Spikformer, SpikingResNet
from snnssl_mm.models.batch_norm import normalize_and_fire
from snnssl_mm.models.layers import channels_last, halve, normalize_fire_and_halve
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.recording.firing_recorder import FiringRecorder

pytest.importorskip("numba")


@pytest.fixture
def neuron():
    return MixedLIF(surrogate="atan", backend="cpu")


@pytest.fixture
def x():
    torch.manual_seed(0)
    return channels_last(torch.randn(3, 4, 8, 7, 6)).requires_grad_()


def two_views():
    norm = PerViewBatchNorm2d(8)
    norm.views = 2
    return norm


def gradients(layer, norm, neuron, x):
    out = layer(norm, neuron, x, 3)
    leaves = [x, *norm.parameters()]
    return out.detach(), *torch.autograd.grad(out.square().sum(), leaves)


def in_two_steps(norm, neuron, x, steps):
    return halve(normalize_and_fire(norm, neuron, x, steps))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("path", ["spike", "analog", "dual"])
@pytest.mark.parametrize("make", [lambda: nn.BatchNorm2d(8), two_views])
def test_one_operator_equals_norm_neuron_and_pooling(make, path, held, neuron, x):
    neuron.path = path
    x = channels_last(x[:1].detach()).requires_grad_() if held else x
    one, two = make(), make()
    got = gradients(normalize_fire_and_halve, one, neuron, x)
    expected = gradients(in_two_steps, two, neuron, x)
    assert torch.equal(got[0], expected[0])
    torch.testing.assert_close(got[1:], expected[1:], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.state_dict(), two.state_dict())
    evaluated = one.eval(), neuron, x, 3
    assert torch.equal(normalize_fire_and_halve(*evaluated), in_two_steps(*evaluated))


def names(function, *args):
    with torch.profiler.profile() as profile:
        function(*args)
    return {event.key for event in profile.key_averages()}


def test_spikes_of_full_size_are_written_for_who_asks_for_them(neuron, x):
    layer = (nn.BatchNorm2d(8), neuron, x, 3)
    fused = names(normalize_fire_and_halve, *layer)
    assert "snnssl_mm::batch_norm_mixed_lif" in fused
    assert "snnssl_mm::halve" not in fused
    seen = []
    with neuron.register_forward_hook(lambda _m, _x, out: seen.append(out)):
        watched = normalize_fire_and_halve(*layer)
    assert seen[0].shape == x.shape
    assert torch.equal(watched, normalize_fire_and_halve(*layer))
    contiguous = normalize_fire_and_halve(layer[0], neuron, x.contiguous(), 3)
    assert torch.equal(watched, contiguous)


@pytest.mark.parametrize("training", [False, True])
def test_compiled_without_a_graph_break(training, neuron, x):
    norm = nn.BatchNorm2d(8, momentum=0.0).train(training)

    def layer(x):
        return normalize_fire_and_halve(norm, neuron, x, 3)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    expected, out = layer(x), compiled(x)
    assert torch.equal(out, expected)
    (got,) = torch.autograd.grad(out.square().sum(), x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        (lambda: Spikformer(dict(embed_dims=32, depth=1, num_heads=2)), 4 * 32 * 32),
        (lambda: SpikingResNet(18, base_channels=8), 8 * 16 * 16),
    ],
)
def test_firing_rates_are_those_of_full_size(make, outputs):
    torch.manual_seed(0)
    backbone, images = make().eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        (fused,) = backbone(images)
        with FiringRecorder(backbone) as recorder:
            (recorded,) = backbone(images)
    assert torch.equal(fused, recorded)
    stem = next(iter(recorder.counters.values()))
    assert sum(stem.outputs) == 4 * 2 * outputs  # time steps and images
