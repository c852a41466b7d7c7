"""MixedILIF against spikingjelly's ILIFNode, a plain loop and its own definition."""

import pytest
import torch
from spikingjelly.activation_based import neuron, surrogate

from snnssl_mm.neurons import MixedILIF, MixedLIF, set_path

T, N = 5, 6


def currents(scale=3.0, steps=T, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (steps, N, 40)
    x = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_()


@pytest.mark.parametrize("levels", [1, 4, 8])
@pytest.mark.parametrize("threshold", [1.0, 0.5])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("backend", ["torch", "cpu"])
def test_spikes_and_gradients_equal_spikingjelly(levels, threshold, detach, backend):
    # spikingjelly's native operator computes in float32.
    x = currents().detach().float().requires_grad_()
    other = x.detach().clone().requires_grad_()
    options = dict(v_threshold=threshold, detach_reset=detach, backend=backend)
    ours = MixedILIF(levels, False, **options)
    theirs = neuron.ILIFNode(
        v_threshold=threshold,
        surrogate_function=surrogate.MultiLevelSpikeCount(levels),
        detach_reset=detach,
        step_mode="m",
    )
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    spikes, expected = ours(x), theirs(other)
    assert torch.equal(spikes, expected)
    (weight * spikes).sum().backward()
    (weight * expected).sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_one_step_is_the_neuron_of_e_spikeformer():
    """round(clamp(x, 0, 4)) / 4, half to even, with the gradient of the clamp."""
    x = torch.tensor([-1, 0, 0.3, 0.5, 1.5, 2.5, 3.5, 4, 9.0]).double()
    x = x.reshape(1, 1, -1).requires_grad_()
    out = MixedILIF()(x)
    assert (4 * out).flatten().tolist() == [0, 0, 0, 0, 2, 2, 4, 4, 4]
    out.sum().backward()
    window = [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert x.grad.flatten().tolist() == [w / 4 for w in window]


@pytest.mark.parametrize("path", ["spike", "analog"])
def test_plain_loop(path):
    x, levels, tau = currents(), 3, 1.5
    module = MixedILIF(levels, tau=tau)
    module.path = path
    v, expected = torch.zeros(N, 40, dtype=torch.float64), []
    for current in x.detach():
        u = (1 - 1 / tau) * v + current
        count = u.clamp(0, levels).round()
        expected.append((count if path == "spike" else u.clamp(0, levels)) / levels)
        v = u - count
    assert torch.equal(module(x), torch.stack(expected))


def test_dual_path_is_one_path_for_each_half():
    x, module = currents(), MixedILIF(4)
    halves = []
    for path, half in zip(("spike", "analog"), x.chunk(2, dim=1), strict=True):
        module.path = path
        halves.append(module(half))
    assert set_path(module, "dual") == 1
    assert torch.equal(module(x), torch.cat(halves, dim=1))
    with pytest.raises(ValueError, match="N=5"):
        module(x[:, :5])


def test_analog_path_is_the_mean_of_the_spiking_one_under_noise():
    u = torch.linspace(-1, 5, 61, dtype=torch.float64)
    noise = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000 - 0.5
    module = MixedILIF(4, normalize=False)
    spikes = module((u + noise[:, None])[None]).mean(1)
    module.path = "analog"
    torch.testing.assert_close(spikes, module(u[None, None])[:, 0], rtol=0, atol=1e-3)


def test_analog_gradient_is_its_derivative():
    x = torch.rand(1, 2, 8, dtype=torch.float64) * 3 + 0.2
    module = MixedILIF(4)
    module.path = "analog"
    assert torch.autograd.gradcheck(module, x.requires_grad_())


def test_one_level_fires_as_mixed_lif_of_threshold_one_half():
    x = currents(1.0, steps=1)
    expected = MixedLIF(v_threshold=0.5)(x)
    ours = MixedILIF(1)(x)
    assert torch.equal(ours, expected)
    first, second = (torch.autograd.grad(o.sum(), x)[0] for o in (ours, expected))
    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_integrated_in_float32(dtype):
    x = currents().detach().to(dtype)
    module = MixedILIF(4)
    assert torch.equal(module(x), module(x.float()).to(dtype))


@pytest.mark.parametrize(
    "options",
    [
        dict(levels=0),
        dict(levels=2.5),
        dict(levels=2**23),
        dict(tau=0.5),
        dict(v_threshold=0.0),
        dict(backend="abacus"),
    ],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="MixedILIF|backend"):
        MixedILIF(**options)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="time step"):
        MixedILIF()(torch.rand(3))
    with pytest.raises(TypeError, match="int64"):
        MixedILIF()(torch.ones(1, 1, dtype=torch.long))
