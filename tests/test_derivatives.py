"""What has no derivative of a kind raises; nothing gives zeros instead.

Every custom operator and every autograd.Function of the package, found by themselves.
"""

import contextlib

import pytest
import torch
from torch.autograd import forward_ad

from snnssl_mm.losses import CrossTemporalLoss, NTXentLoss
from snnssl_mm.losses.gather import GatherBatch
from snnssl_mm.losses.ntxent import Contrast, ContrastGradient
from snnssl_mm.losses.pairs import GramGradients, GramSums, Pairs
from snnssl_mm.models.layers import ZeroGradient
from snnssl_mm.models.masking import TakeRows
from snnssl_mm.models.spike_products import WideProduct
from snnssl_mm.neurons import MixedILIF, MixedLIF
from snnssl_mm.neurons.kernels import ops
from snnssl_mm.neurons.kernels.integer_reference import IntegerFire
from snnssl_mm.neurons.kernels.operators import Differentiated
from snnssl_mm.neurons.kernels.reference import Fire, Normalization

LIF = (2.0, 1.0, 0.0, False, True, "rectangle", 1.0)
CHANNELS = 3
X = torch.randn(4, 2, CHANNELS, 4, generator=torch.manual_seed(0))
SURROGATE = MixedLIF().config.surrogate


def statistics():
    ones = torch.ones(1, CHANNELS)
    return 0 * ones, ones, ones[0], 0 * ones[0]


REMEMBERED = (None, None, None, None)


def window(grad):
    return torch.zeros(grad.shape, dtype=torch.uint8)


OPERATORS = {
    "mixed_lif": lambda x: ops.mixed_lif_op(x, *LIF, "spike"),
    "mixed_lif_backward": lambda x: ops.mixed_lif_backward_op(x, X, *LIF),
    "norm_mixed_lif": lambda x: ops.norm_mixed_lif_op(
        x, *statistics(), 1e-5, len(x), *LIF, "analog", False
    )[0],
    "batch_norm_mixed_lif": lambda x: ops.batch_norm_mixed_lif_op(
        x, *statistics()[2:], *REMEMBERED, 1e-5, 1, False, len(x), *LIF, "analog", False
    )[0],
    "norm_mixed_lif_backward": lambda x: ops.norm_mixed_lif_backward_op(
        X, x, *statistics(), None, 1e-5, True, False, *LIF
    )[0],
    "halve": lambda x: ops.halve_op(x)[0],
    "halve_backward": lambda x: ops.halve_backward_op(x, window(x), 4, 8),
}
FUNCTIONS = {
    Fire: lambda x: Fire.apply(x, SURROGATE, False),
    IntegerFire: lambda x: IntegerFire.apply(x, 4, 1),
    GramSums: lambda x: GramSums.apply(Pairs(2, True), None, *x[:2])[0],
    GramGradients: lambda x: GramGradients.apply(
        Pairs(2, True),
        2,
        torch.ones(()),
        torch.ones(()),
        torch.ones(4, 3, 3),
        *x[:2],
        torch.zeros(4, 1, x.shape[-1]),
        torch.ones(4, 1, x.shape[-1]),
        torch.ones(x.shape[-1], 4, 4),
    )[0],
    GatherBatch: GatherBatch.apply,
    Contrast: lambda x: Contrast.apply(x[None, :, 0], Pairs(2, True)),
    ContrastGradient: lambda x: ContrastGradient.apply(
        Pairs(2, True), torch.ones(()), x[None, :, 0], torch.zeros(1, 4, 4, CHANNELS)
    ),
    ZeroGradient: lambda x: ZeroGradient.apply(x, torch.ones(CHANNELS)),
    TakeRows: lambda x: TakeRows.apply(x[..., 0], torch.tensor([1])),
    WideProduct: lambda x: WideProduct.apply(x[0], x[1].mT),
}
NEURONS = {
    backend: MixedLIF(tau=1.5, surrogate="atan", backend=backend)
    for backend in ("torch", "cpu")
} | {
    "norm": lambda x: NEURONS["cpu"](x, Normalization(*statistics(), 1e-5)),
    "integer": MixedILIF(),
    "integer in torch": MixedILIF(backend="torch"),
    "loss": lambda x: CrossTemporalLoss()(x.flatten(2), 2 * x.flatten(2)),
    "NT-Xent": lambda x: NTXentLoss()(x.flatten(2), 2 * x.flatten(2)),
}
ALL = {**OPERATORS, **{kind.__name__: f for kind, f in FUNCTIONS.items()}, **NEURONS}


@pytest.fixture(autouse=True)
def one_process(tmp_path):
    """A process group of one, for GatherBatch."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_every_operator_and_function_is_looked_at():
    names = torch._C._dispatch_get_all_op_names()
    own = {name.partition("::")[2] for name in names if name.startswith("snnssl_mm::")}
    assert own == set(OPERATORS)
    kinds = torch.autograd.Function.__subclasses__()
    own = {kind for kind in kinds if kind.__module__.startswith("snnssl_mm.")}
    assert own - {Differentiated} == set(FUNCTIONS)  # it calls the operators


def tangent_of_dual(function, x):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(
            function(forward_ad.make_dual(x, torch.ones_like(x)))
        ).tangent


FORWARD = {
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1],
    "dual number": tangent_of_dual,
    "dual number that requires a gradient": lambda f, x: tangent_of_dual(
        f, x.clone().requires_grad_()
    ),
    "jacfwd": lambda f, x: torch.func.jacfwd(f)(x),
    "linearize": lambda f, x: torch.func.linearize(f, x)[1](torch.ones_like(x)),
    "hessian": lambda f, x: torch.func.hessian(lambda z: f(z).sum())(x),
    "jvp of vmap": lambda f, x: torch.func.jvp(
        torch.vmap(f), (x[None],), (torch.ones_like(x[None]),)
    )[1],
}


@pytest.mark.parametrize("mode", FORWARD)
@pytest.mark.parametrize("name", sorted(ALL))
def test_forward_mode_raises(name, mode):
    with pytest.raises((RuntimeError, NotImplementedError)):
        FORWARD[mode](ALL[name], X)


@pytest.mark.parametrize("name", ["torch", "cpu", "norm"])
def test_forward_mode_raises_in_compiled_functions(name):
    """torch decomposes MixedLIF here and would differentiate 1[v >= 0] itself."""
    forward = torch.compile(lambda x: FORWARD["jvp"](ALL[name], x), backend="eager")
    with pytest.raises(NotImplementedError):
        forward(X)
    compiled = torch.compile(ALL[name], backend="eager")
    with pytest.raises(NotImplementedError):
        tangent_of_dual(compiled, X)


def gradient(function, x, **options):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x).square().sum(), x, **options)[0]


@pytest.mark.parametrize("name", sorted(ALL))
def test_other_transforms_are_right_or_raise(name):
    """vmap, torch.func.grad and the second derivative."""
    function = ALL[name]
    expected = torch.stack([function(X), function(2 * X)])
    with contextlib.suppress(RuntimeError):
        assert torch.equal(torch.vmap(function)(torch.stack([X, 2 * X])), expected)
    differentiable = function(X.clone().requires_grad_()).requires_grad
    with contextlib.suppress(RuntimeError):
        found = torch.func.grad(lambda x: function(x).square().sum())(X)
        assert differentiable, "else torch has to raise"
        assert torch.allclose(found, gradient(function, X), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["cpu", "norm", "halve", "loss", "NT-Xent"])
def test_second_derivative_raises(name):
    with pytest.raises(RuntimeError):
        gradient(ALL[name], X, create_graph=True).sum().backward()


@pytest.mark.parametrize("name", ["cpu", "norm", "loss", "NT-Xent"])
def test_second_derivative_is_not_lost_beside_a_first(name):
    """As in a gradient penalty, where nothing but the saved input depends on x."""
    x = X.clone().requires_grad_()
    value = ALL[name](x).sum()
    (first,) = torch.autograd.grad(value, x, create_graph=True)
    with pytest.raises(RuntimeError):
        (value + first.square().sum()).backward()


@pytest.mark.parametrize("name", ["cpu", "norm", "loss", "NT-Xent"])
@pytest.mark.parametrize("product", ["hvp", "vhp", "jvp"])
def test_products_with_second_derivatives_raise(name, product):
    """torch.autograd.functional returns zeros for inputs that it does not reach."""
    compute = getattr(torch.autograd.functional, product)
    with pytest.raises(RuntimeError):
        compute(lambda x: ALL[name](x).sum(), X, torch.ones_like(X))


def test_second_derivative_of_the_reference_is_that_of_the_surrogate():
    """Path analog: one step, where nothing is reset, so y = g(x - 1), y' = h."""
    neuron = MixedLIF(surrogate="atan", backend="torch", tau=1.0)
    surrogate = neuron.config.surrogate
    neuron.path = "analog"
    x = torch.randn(1, 50, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(neuron(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    step = 1e-5
    h = [surrogate.derivative(x.detach() - 1 + e) for e in (step, -step)]
    assert torch.allclose(second, (h[0] - h[1]) / (2 * step), atol=1e-6)
