"""Batch norm over steps and paths, alone and together with the neuron."""

import copy

import pytest
import torch
from torch import nn

from snnssl_mm.models import PerViewBatchNorm2d
from snnssl_mm.models.batch_norm import (
    build_batch_norm,
    current_normalization,
    normalize,
    normalize_and_fire,
)
from snnssl_mm.models.layers import ConvNormNeuron
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.neurons.kernels import reference


def example():
    spiking = torch.randn(3, 2, 4, 5, 5)
    analog = 3 * torch.randn(3, 2, 4, 5, 5) + 7
    return spiking, analog, torch.cat([spiking, analog], dim=1)


def test_each_view_is_normalised_by_its_own_statistics():
    spiking, analog, both = example()
    norm = PerViewBatchNorm2d(4)
    norm.views = 2
    for half, out in zip((spiking, analog), norm(both).chunk(2, dim=1), strict=True):
        expected = nn.BatchNorm2d(4)(half.flatten(0, 1))
        torch.testing.assert_close(out.flatten(0, 1), expected)


def test_running_statistics_follow_the_first_view():
    spiking, _, both = example()
    norm, plain = PerViewBatchNorm2d(4), nn.BatchNorm2d(4)
    norm.views = 2
    norm(both)
    plain(spiking.flatten(0, 1))
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[key], value)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_one_view_is_nn_batch_norm(training, momentum):
    norm, plain = PerViewBatchNorm2d(4), nn.BatchNorm2d(4)
    norm.momentum = plain.momentum = momentum
    norm.train(training)
    plain.train(training)
    for _ in range(3):
        x = torch.randn(3, 2, 4, 5, 5)
        expected = plain(x.flatten(0, 1)).unflatten(0, (3, 2))
        torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm.running_var, plain.running_var)


@pytest.mark.parametrize(
    ("kind", "former"), [("joint", "pooled"), ("per_view", "split")]
)
def test_kinds_have_their_former_names_too(kind, former):
    """Older checkpoints store them."""
    assert type(build_batch_norm(kind, 4)) is type(build_batch_norm(former, 4))


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="'shared'"):
        build_batch_norm("shared", 4)


def test_sync_conversion_leaves_it_alone():
    model = nn.Sequential(PerViewBatchNorm2d(4))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(converted[0], PerViewBatchNorm2d)


def layers():
    def two_views(channels):
        norm = PerViewBatchNorm2d(channels)
        norm.views = 2
        return norm

    def evaluated(channels):
        norm = nn.BatchNorm2d(channels)
        norm.running_mean += 0.3
        return norm.eval()

    def without_average(channels):
        return nn.BatchNorm2d(channels, track_running_stats=False)

    def cumulative(channels):
        return nn.BatchNorm2d(channels, momentum=None)

    def bare(channels):
        return nn.BatchNorm2d(channels, affine=False)

    return [two_views, evaluated, without_average, cumulative, bare, nn.BatchNorm2d]


@pytest.mark.parametrize("path", ["dual", "spike", "analog"])
@pytest.mark.parametrize("make", layers())
def test_one_operator_equals_two_layers(make, path):
    """Spikes, gradients and running statistics, over three batches."""
    torch.manual_seed(0)
    neuron = MixedLIF(surrogate="sigmoid", backend="cpu")
    neuron.path = path
    one, two = make(6), make(6).double()
    for _ in range(3):
        x = torch.randn(2, 4, 6, 3, 3, requires_grad=True)
        wide = x.detach().double().requires_grad_()
        fused = normalize_and_fire(one, neuron, x, 2)
        expected = reference.mixed_lif(normalize(two, wide), neuron.config, path)
        torch.testing.assert_close(fused.double(), expected, atol=1e-5, rtol=0)
        (fused * fused.detach()).sum().backward()
        (expected * expected.detach()).sum().backward()
        torch.testing.assert_close(x.grad.double(), wide.grad, atol=1e-4, rtol=1e-3)
    for key, value in two.state_dict().items():
        got = one.state_dict()[key].to(value.dtype)
        torch.testing.assert_close(got, value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("make", [nn.BatchNorm2d, layers()[0]])
def test_compiles_into_one_graph(make):
    """Its running statistics too, which the operator changes in place."""
    torch.manual_seed(0)
    norm, neuron = make(6), MixedLIF(surrogate="atan", backend="cpu")
    compiled_norm = copy.deepcopy(norm)

    def fused(norm, x):
        return normalize_and_fire(norm, neuron, x, 2)

    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        x, wanted = torch.randn(2, 4, 6, 3, 3, requires_grad=True), []
        for function, layer in ((fused, norm), (compiled, compiled_norm)):
            out = function(layer, x)
            wanted.append(torch.autograd.grad(out.square().sum(), [x, layer.weight]))
        torch.testing.assert_close(*wanted)
    torch.testing.assert_close(compiled_norm.state_dict(), norm.state_dict())
    assert compiled_norm.num_batches_tracked == 2


def test_statistics_that_change_before_the_backward_pass_are_noticed():
    norm, x = nn.BatchNorm2d(6), torch.randn(2, 4, 6, 3, 3, requires_grad=True)
    out = normalize_and_fire(norm.eval(), MixedLIF(backend="cpu"), x, 2)
    normalize_and_fire(norm.train(), MixedLIF(backend="cpu"), x, 2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


class Doubling(MixedLIF):
    """A neuron of one's own, which knows nothing of batch norms."""

    def forward(self, x):
        return super().forward(2 * x)


@pytest.mark.parametrize("neuron", [MixedLIF(), Doubling(), MixedLIF(backend="torch")])
def test_other_neurons_get_the_normalised_current(neuron):
    torch.manual_seed(0)
    norm, x = nn.BatchNorm2d(6), torch.randn(2, 4, 6, 3, 3)
    spikes = normalize_and_fire(norm, neuron, x, 2)
    torch.testing.assert_close(spikes, neuron(normalize(norm, x)))


def test_a_hook_before_the_neuron_sees_its_current():
    neuron, seen = MixedLIF(), []
    neuron.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs))
    x = torch.randn(2, 4, 6, 3, 3)
    normalize_and_fire(nn.BatchNorm2d(6).eval(), neuron, x, 2)
    ((current,),) = seen
    torch.testing.assert_close(current, x, atol=1e-4, rtol=1e-4)


def test_half_precision_statistics_are_widened_first():
    norm = nn.BatchNorm2d(6).eval()
    norm.running_var += torch.rand(6)
    norm = norm.bfloat16()
    rstd = current_normalization(norm, torch.randn(2, 4, 6, 3, 3)).rstd
    assert rstd.dtype == torch.float32
    assert torch.equal(rstd[0], (norm.running_var.float() + norm.eps).rsqrt())


@pytest.mark.parametrize("shape", [(2, 3, 6, 3, 3), (2, 4, 8, 3, 3)])
def test_what_does_not_fit_leaves_the_statistics_alone(shape):
    norm, neuron = PerViewBatchNorm2d(6), MixedLIF()
    norm.views = 2
    with pytest.raises(ValueError, match="N=3|6 channels"):
        normalize_and_fire(norm, neuron, torch.randn(shape), 2)
    assert norm.num_batches_tracked == 0


def test_a_watched_norm_is_called():
    """Hooks on the batch norm, as analysis tools set them, see its output."""
    norm, seen = nn.BatchNorm2d(6), []
    norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    normalize_and_fire(norm, MixedLIF(), torch.randn(2, 4, 6, 3, 3), 2)
    assert seen[0].shape == (8, 6, 3, 3)


def test_one_value_a_channel_cannot_be_normalised():
    with pytest.raises(ValueError, match=r"\(1, 1, 6, 1, 1\)"):
        normalize_and_fire(nn.BatchNorm2d(6), MixedLIF(), torch.randn(1, 1, 6, 1, 1), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bn", ["joint", "per_view"])
def test_a_bias_in_front_only_moves_the_running_mean(bn, dtype):
    """The layer leaves it out in training; statistics and inference are as with it."""
    layer = ConvNormNeuron(4, 6, 1, True, dict(surrogate="atan"), bn).to(dtype)
    nn.init.normal_(layer.conv.bias, std=3)
    conv, norm = copy.deepcopy(layer.conv), nn.BatchNorm2d(6).to(dtype)
    neuron = MixedLIF(surrogate="atan", backend="torch")
    x = torch.randn(3, 4, 4, 5, 5, dtype=dtype)
    for _ in range(2):
        out = layer(x)
        y = norm(conv(x.flatten(0, 1)))
        expected = neuron(y.unflatten(0, (3, 4)))
        assert (out != expected).float().mean() < 1e-3  # membranes near the threshold
    torch.testing.assert_close(layer.bn.state_dict(), norm.state_dict())
    for result in (out, expected):
        (result * x.mean(2, keepdim=True)).sum().backward()
    torch.testing.assert_close(
        layer.conv.weight.grad, conv.weight.grad, rtol=1e-3, atol=1e-3
    )
    assert not layer.conv.bias.grad.any()
    layer.eval()
    y = norm.eval()(conv(x.flatten(0, 1)))
    expected = neuron(y.unflatten(0, (3, 4)))
    assert (layer(x) != expected).float().mean() < 1e-3
