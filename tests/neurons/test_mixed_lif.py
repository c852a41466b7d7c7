"""MixedLIF: against SpikingJelly, float64, closed forms, and its own invariants."""

from __future__ import annotations

import copy
import itertools
import math
import os
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from snnssl_mm.neurons import MixedLIF, set_path
from snnssl_mm.neurons.kernels import cpu_kernels, ops
from snnssl_mm.neurons.kernels.backends import backend_problem
from snnssl_mm.neurons.surrogate import DEFAULT_WIDTH, Surrogate

BACKENDS = ("torch", "cpu")
SURROGATES = tuple(DEFAULT_WIDTH)
RESETS = (0.0, 0.1, None)
PATHS = ("spike", "analog", "dual")
BOOLS = (False, True)


def neuron(path="spike", **options):
    module = MixedLIF(**options)
    module.path = path
    return module


def run(module, x, grad=None):
    """Output and input gradient."""
    leaf = x.detach().requires_grad_()
    out = module(leaf)
    out.backward(torch.ones_like(out) if grad is None else grad)
    return out.detach(), leaf.grad


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(2, -1).contiguous().movedim(-1, 2)


def time_second(x: Tensor) -> Tensor:
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def strided(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2)[:, :, ::2]


# Against others. ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("decay", BOOLS)
@pytest.mark.parametrize("detach", BOOLS)
def test_equals_spikingjelly_to_the_last_spike(backend, v_reset, decay, detach):
    sj_neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    sj_surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
    theirs = sj_neuron.LIFNode(
        tau=2.0,
        decay_input=decay,
        v_reset=v_reset,
        surrogate_function=sj_surrogate.Sigmoid(alpha=4.0),
        detach_reset=detach,
        step_mode="m",
    )
    ours = neuron(
        decay_input=decay,
        v_reset=v_reset,
        surrogate="sigmoid",
        detach_reset=detach,
        backend=backend,
    )
    x, grad = torch.randn(2, 6, 4, 3, 8, 8).mul(1.5).unbind()
    out, grad_x = run(ours, x, grad)
    expected, expected_grad = run(theirs, x, grad)
    assert 0.05 < out.mean() < 0.95
    assert torch.equal(out, expected)
    torch.testing.assert_close(grad_x, expected_grad)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("v_reset", RESETS)
def test_cpu_kernel_equals_float64(surrogate, v_reset):
    tolerance = {torch.float32: 2e-6, torch.float16: 2**-9, torch.bfloat16: 2**-6}
    layouts = itertools.cycle([torch.clone, channels_last, time_second, strided])
    dtypes = itertools.cycle(tolerance)
    family = Surrogate(surrogate, DEFAULT_WIDTH[surrogate] * 0.9)
    spec = {"type": surrogate, "width": family.width}
    for path, decay, detach, steps in itertools.product(PATHS, BOOLS, BOOLS, (1, 4, 9)):
        options = {
            "tau": 2.5 if decay else 2.0,
            "v_reset": v_reset,
            "decay_input": decay,
            "detach_reset": detach,
            "surrogate": spec,
        }
        dtype, layout = next(dtypes), next(layouts)
        x = torch.randn(2, steps, 4, 8, 3, 5).mul(1.5).to(dtype)
        x, grad = layout(x[0]), layout(x[1])
        kernel = neuron(path, backend="cpu", **options)
        out, grad_x = run(kernel, x, grad)
        assert out.dtype == grad_x.dtype == dtype
        exact, exact_grad = run(
            neuron(path, backend="torch", **options), x.double(), grad.double()
        )
        # Neurons that never come within rounding of the threshold or an edge of h.
        v = margin_of(x.double(), kernel.config)
        sound = (v > 1e-5).expand_as(out)
        assert sound.float().mean() > (0.99 if dtype == torch.float32 else 0.9)
        bounds = {"rtol": tolerance[dtype], "atol": 2 * tolerance[dtype]}
        torch.testing.assert_close(out[sound].double(), exact[sound], **bounds)
        torch.testing.assert_close(grad_x[sound].double(), exact_grad[sound], **bounds)


def margin_of(x, p):
    """Smallest distance of u - theta from the jumps of spike and h, over time."""
    rest = 0.0 if p.v_reset is None else p.v_reset
    v, margin = torch.full_like(x[0], rest), torch.full_like(x[0], math.inf)
    edge = p.surrogate.width / 2 if p.surrogate.name == "rectangle" else 0.0
    for x_t in x:
        leak = (v - rest) / p.tau
        u = v - leak + (x_t / p.tau if p.decay_input else x_t)
        over = u - p.v_threshold
        margin = torch.minimum(margin, over.abs())
        margin = torch.minimum(margin, (over.abs() - edge).abs())
        after = over if p.v_reset is None else torch.full_like(u, rest)
        v = torch.where(over >= 0, after, u)
    return margin


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("v_reset", RESETS)
def test_analog_gradient_is_the_true_derivative(surrogate, v_reset):
    # With the reset gate constant, which it is away from spikes' flips, the analog
    # path is an ordinary function; finite differences see its derivative.
    module = neuron("analog", surrogate=surrogate, v_reset=v_reset, backend="torch")
    x = torch.randn(4, 2, 16, dtype=torch.double)
    far = margin_of(x, module.config) > 1e-3
    if surrogate == "triangle":  # where h has kinks, differences are inexact
        far &= margin_of(x, edges_of(module.config)) > 1e-3
    assert far.float().mean() > 0.9
    _, grad_x = run(module, x)
    step = 1e-6
    for t in range(4):
        moved = torch.zeros_like(x)
        moved[t] = step
        change = (module(x + moved) - module(x - moved)).sum(0) / (2 * step)
        torch.testing.assert_close(change[far], grad_x[t][far], rtol=1e-5, atol=1e-6)


def edges_of(p):
    return p._replace(surrogate=Surrogate("rectangle", 2 * p.surrogate.width))


def test_attached_gate_adds_the_reset_path():
    # u1 = x1, s1 fires; v1 = u1 (1 - s1). By hand for T = 2, hard reset to 0, tau = 2:
    # du2/dx1 = (1 - s1 - u1 h1) / 2 with the gate attached, (1 - s1) / 2 without.
    x = torch.tensor([1.2, 0.8], dtype=torch.double).view(2, 1, 1)
    grad = torch.tensor([0.0, 1.0], dtype=torch.double).view(2, 1, 1)
    _, attached = run(neuron(detach_reset=False, backend="torch"), x, grad)
    _, detached = run(neuron(backend="torch"), x, grad)
    torch.testing.assert_close(attached.flatten(), torch.tensor([-0.6, 1.0]).double())
    torch.testing.assert_close(detached.flatten(), torch.tensor([0.0, 1.0]).double())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_analog_is_the_mean_spike_under_threshold_noise(backend, width):
    spec = {"type": "rectangle", "width": width}
    x = torch.linspace(0, 2, 41).view(1, 1, 41)
    analog = neuron("analog", surrogate=spec, backend=backend)(x)
    noise = (torch.arange(4000) + 0.5) / 4000 * width - width / 2  # U(-a/2, a/2)
    spikes = neuron(surrogate=spec, backend=backend)(x + noise.view(1, -1, 1))
    torch.testing.assert_close(spikes.mean(1), analog[:, 0], rtol=0, atol=3e-4)


# Invariants. --------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", PATHS)
class TestInvariants:
    def test_samples_do_not_see_each_other(self, backend, path):
        module, x = neuron(path, backend=backend), torch.randn(4, 6, 3, 5)
        out, other = module(x), x.clone()
        other[:, 1] = torch.randn(4, 3, 5)
        changed = (module(other) != out).transpose(0, 1).flatten(1).any(1)
        assert changed.tolist() == [False, True, False, False, False, False]

    def test_output_does_not_see_the_future(self, backend, path):
        module, x = neuron(path, backend=backend), torch.randn(4, 2, 64)
        out, other = module(x), x.clone()
        other[2] += 1
        changed = (module(other) != out).flatten(1).any(1)
        assert changed.tolist() == [False, False, True, True]

    def test_has_no_state(self, backend, path):
        module, x = neuron(path, backend=backend), torch.randn(4, 2, 64)
        first = run(module, x)
        module(torch.randn(3, 8, 5))
        for a, b in zip(first, run(module, x), strict=True):
            assert torch.equal(a, b)
        assert not module.state_dict()

    def test_survives_deepcopy_and_pickle_after_training(self, backend, path):
        module = neuron(path, surrogate="atan", backend=backend)
        x = torch.randn(4, 2, 9)
        out, _ = run(module, x)
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert twin.path == path
            assert torch.equal(twin(x), out)

    def test_takes_what_autocast_hands_it(self, backend, path):
        layer, module = nn.Linear(8, 8), neuron(path, backend=backend)
        x = torch.randn(4, 2, 8)
        with torch.autocast("cpu", torch.bfloat16):
            current = layer(x)
            out = module(current)
        assert out.dtype == torch.bfloat16
        wide = module(current.float()).bfloat16()
        torch.testing.assert_close(out, wide, rtol=2**-8, atol=0)
        out.float().sum().backward()
        assert layer.weight.grad.isfinite().all()

    def test_dual_is_both_paths_side_by_side(self, backend, path):
        x = torch.randn(4, 6, 5)
        out = neuron(path, backend=backend)(x)
        spike = neuron("spike", backend=backend)(x)
        analog = neuron("analog", backend=backend)(x)
        expected = {
            "spike": spike,
            "analog": analog,
            "dual": torch.cat([spike[:, :3], analog[:, 3:]], 1),
        }
        assert torch.equal(out, expected[path])

    def test_gradient_of_an_expanded_output(self, backend, path):
        # sum() hands back one number with stride 0; kernels need a real tensor
        module, x = neuron(path, backend=backend), torch.randn(4, 2, 7)
        leaf = x.clone().requires_grad_()
        module(leaf).sum().backward()
        torch.testing.assert_close(leaf.grad, run(module, x)[1])

    def test_does_not_write_to_its_input(self, backend, path):
        module, x, grad = neuron(path, backend=backend), *torch.randn(2, 4, 2, 3, 5)
        x, before = x.requires_grad_(), (x.detach().clone(), grad.clone())
        module(x).backward(grad)
        assert torch.equal(x, before[0])
        assert torch.equal(grad, before[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_exact_ties_fire(backend):
    module = neuron(v_threshold=0.5, backend=backend)
    x = torch.randint(-8, 9, (6, 2, 256)) * 0.125
    margin = margin_of(x.double(), module.config)
    assert (margin == 0).sum() > 50
    expected = neuron(v_threshold=0.5, backend="torch")(x.double())
    assert torch.equal(module(x).double(), expected)
    # u = 0 sits on the edge of h, |u - theta| = a / 2, which is outside
    _, grad_x = run(module, torch.zeros(1, 1, 1))
    assert grad_x.item() == 0


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_extreme_input_of_the_cpu_kernel(surrogate):
    x = torch.tensor([math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45, 0.0])
    x = x.view(1, 1, -1)
    for path in ("spike", "analog"):
        out, grad_x = run(neuron(path, surrogate=surrogate, backend="cpu"), x)
        expected = run(neuron(path, surrogate=surrogate, backend="torch"), x)
        torch.testing.assert_close((out, grad_x), expected, equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("v_reset", [0.0, None])
def test_many_steps_and_many_neurons(backend, v_reset):
    # more than one block of neurons per thread, and a rest of a block
    x = torch.randn(19, 2, 5003)
    module = neuron("dual", v_reset=v_reset, backend=backend)
    exact = neuron("dual", v_reset=v_reset, backend="torch")(x.double())
    margin = margin_of(x.double(), module.config)
    sound = (margin > 1e-4).expand_as(x)
    assert sound.float().mean() > 0.9
    torch.testing.assert_close(
        module(x)[sound].double(), exact[sound], rtol=0, atol=1e-5
    )


def test_auto_takes_the_kernel_that_fits():
    module, x = MixedLIF(), torch.randn(4, 2, 8)
    assert torch.equal(module(x), MixedLIF(backend="cpu")(x))
    assert module(x.double()).dtype == torch.double


# The operator. ------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_operator_keeps_torchs_rules(path):
    p = neuron().config
    *scalars, surrogate = p
    for x in (torch.randn(4, 2, 3, 4), time_second(torch.randn(4, 2, 3, 4))):
        args = (x.requires_grad_(), *scalars, *surrogate, path)
        torch.library.opcheck(torch.ops.snnssl_mm.mixed_lif.default, args)
    assert ops.mixed_lif(x, p, path).stride() == x.stride()


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_compiles_into_one_graph(backend):
    module = nn.Sequential(nn.Linear(8, 8), neuron("dual", backend=backend))
    x = torch.randn(4, 2, 8)
    expected = run(module, x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(compiled, x), expected)


@pytest.mark.parametrize("layout", [channels_last, time_second, strided])
def test_layout_does_not_change_the_result(layout):
    module, (x, grad) = neuron("dual", backend="cpu"), torch.randn(2, 4, 2, 6, 3, 5)
    expected = run(module, x, grad)
    for a, b in itertools.product((layout, torch.clone), repeat=2):
        for got, want in zip(run(module, a(x), b(grad)), expected, strict=True):
            assert torch.equal(got, want)


def test_kernels_are_found_again_by_the_next_process(tmp_path):
    code = (
        "import torch; from snnssl_mm.neurons.kernels import cpu; "
        "cpu.batch_moments(torch.ones(2, 2, 4, 1, 1), 1); "
        "print(len(cpu.statistics_kernel().stats.cache_hits))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    hits = [
        subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert [int(h) for h in hits] == [0, 1]


@pytest.mark.parametrize(
    "kernel",
    [
        cpu_kernels.forward_kernel(0, True, True),
        cpu_kernels.backward_kernel(0, True, True, True),
        cpu_kernels.pooled_forward_kernel(0, True),
        cpu_kernels.statistics_kernel(),
        cpu_kernels.denormalize_kernel(),
    ],
)
def test_kernels_close_over_plain_values(kernel):
    # numba's cache misses forever if a kernel closes over another function
    held = [cell.cell_contents for cell in kernel.py_func.__closure__ or ()]
    assert all(isinstance(value, (bool, int, str)) for value in held)


# Errors. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "path", "message"),
    [
        ((0, 2, 3), "spike", "at least one time step"),
        ((4,), "spike", r"\[T, N, ...\]"),
        ((4, 3, 2), "dual", "N=3"),
    ],
)
def test_shape_errors_name_the_shape(shape, path, message):
    with pytest.raises(ValueError, match=message):
        neuron(path)(torch.zeros(shape))


def test_empty_batch_passes():
    assert MixedLIF()(torch.zeros(4, 0, 3)).shape == (4, 0, 3)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="int64"):
        MixedLIF()(torch.ones(4, 2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"surrogate": "relu"}, "relu"),
        ({"surrogate": {"type": "atan", "slope": 2}}, "slope"),
        ({"surrogate": {"type": "atan", "alpha": 0}}, "positive"),
        ({"backend": "cuda"}, "cupy"),
        ({"tau": 0.5}, "tau >= 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MixedLIF(**options)


def test_unknown_path_is_refused():
    with pytest.raises(ValueError, match="ghost"):
        set_path(nn.Sequential(MixedLIF()), "ghost")


def test_cpu_backend_refuses_float64():
    with pytest.raises(TypeError, match="backend='torch'"):
        MixedLIF(backend="cpu")(torch.zeros(4, 2, 3).double())


def test_missing_cupy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    backend_problem.cache_clear()
    with pytest.raises(ImportError, match=r"No module named 'cupy'|import of cupy"):
        MixedLIF(backend="cupy")
    backend_problem.cache_clear()


def test_set_path_reaches_every_neuron():
    module = nn.Sequential(MixedLIF(), nn.Sequential(nn.ReLU(), MixedLIF()))
    assert set_path(module, "dual") == 2
    assert {m.path for m in module.modules() if isinstance(m, MixedLIF)} == {"dual"}


def test_h_is_the_derivative_of_g():
    for name, width in DEFAULT_WIDTH.items():
        surrogate = Surrogate(name, width)
        v = torch.linspace(-3, 3, 2001, dtype=torch.double)
        slope = torch.gradient(surrogate.antiderivative(v), spacing=(v,))[0]
        error = (slope - surrogate.derivative(v)).abs()
        assert (error > 5e-3).sum() <= (4 if name == "rectangle" else 0)
        assert surrogate.antiderivative(torch.zeros(1)) == 0.5
        torch.testing.assert_close(
            torch.trapezoid(surrogate.derivative(v), v),
            (surrogate.antiderivative(v)[-1] - surrogate.antiderivative(v)[0]),
            rtol=2e-3,
            atol=0,
        )
