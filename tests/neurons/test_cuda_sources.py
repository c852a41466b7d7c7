"""The CUDA sources: they compile, and run on the CPU they equal the reference."""

from __future__ import annotations

import ctypes
import itertools
import math
import sys

import pytest
import torch
from lif_cases import (
    BOOLS,
    DTYPES,
    LAST_BIT,
    PATHS,
    RESETS,
    SURROGATES,
    channels_last,
    contiguous,
    membrane,
    misaligned,
    near_a_jump,
    parameters,
    samples_innermost,
    strided,
    time_innermost,
    time_second,
)

from snnssl_mm.neurons import MixedLIF
from snnssl_mm.neurons.kernels import cuda_source, cupy, norm_source, reference
from snnssl_mm.neurons.kernels.reference import LIFParameters
from snnssl_mm.neurons.surrogate import Surrogate

LAYOUTS = (
    contiguous,
    channels_last,
    time_second,
    time_innermost,
    samples_innermost,
    strided,
    misaligned,
)


def with_gradient(x, p, path, grad):
    leaf = x.detach().clone().requires_grad_()
    out = reference.mixed_lif(leaf, p, path)
    out.backward(grad)
    return out.detach(), leaf.grad


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_equal_to_reference(kernels, surrogate, v_reset, dtype):
    layouts = itertools.cycle(LAYOUTS)
    cases = itertools.product((1, 4, 7), PATHS, BOOLS, BOOLS, BOOLS)
    exempt = total = 0
    for steps, path, decay, detach, odd in cases:
        p = parameters(surrogate, v_reset, decay, detach, odd)
        x, grad = torch.randn(2, steps, 4, 8, 3, 2).mul(1.5).to(dtype).unbind()
        x, grad = next(layouts)(x), next(layouts)(grad)

        out, grad_x = kernels.forward(x, p, path), kernels.backward(grad, x, p)

        assert out.dtype == grad_x.dtype == dtype
        narrow, narrow_grad = with_gradient(x, p, path, grad)
        if path == "spike":
            assert torch.equal(out, narrow)  # to the last spike
        bit = LAST_BIT[dtype]
        torch.testing.assert_close(out, narrow, rtol=bit, atol=bit)
        torch.testing.assert_close(grad_x, narrow_grad, rtol=4 * bit, atol=bit)

        exact, exact_grad = with_gradient(x.double(), p, path, grad.double())
        sound = ~near_a_jump(x.double(), p)
        exempt, total = exempt + (~sound).sum().item(), total + sound.numel()
        bounds = {"rtol": 4 * bit, "atol": 4 * bit}
        torch.testing.assert_close(out[sound].double(), exact[sound], **bounds)
        torch.testing.assert_close(grad_x[sound].double(), exact_grad[sound], **bounds)
    # coarse types meet the threshold exactly, so often that a test of its own counts it
    assert exempt < total * (2e-3 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_layout(kernels, layout, dtype):
    p = parameters("atan", detach=False)
    for steps, path in itertools.product((1, 4), PATHS):
        x = layout(torch.randn(steps, 2, 16, 4, 5).to(dtype))
        grad = torch.randn(x.shape).to(dtype)
        out, grad_x = kernels.forward(x, p, path), kernels.backward(grad, x, p)
        expected, expected_grad = with_gradient(x, p, path, grad)
        bit = LAST_BIT[dtype]
        torch.testing.assert_close(out, expected, rtol=bit, atol=bit)
        torch.testing.assert_close(grad_x, expected_grad, rtol=4 * bit, atol=bit)
        if layout is not strided:  # dense: no copies, the operator's strides
            assert out.stride() == grad_x.stride() == x.stride()


def test_neighbours_move_as_vectors_where_they_may(kernels):
    def width_of(x, path="spike"):
        kernels.forward(x, parameters(), path)
        options = kernels.enqueue.__self__.launches[-1].options
        return next(int(o[-1]) for o in options if "NEURONS_PER_THREAD" in o)

    x = torch.randn(4, 2, 16, 4, 4)
    assert width_of(x) == 4  # 16 bytes
    assert width_of(x.bfloat16()) == width_of(channels_last(x).half(), "dual") == 8
    assert width_of(torch.randn(32, 2, 16, 4, 4).half()) == 4  # registers
    assert width_of(torch.randn(256, 2, 16, 4, 4).half()) == 1
    assert width_of(time_second(x)) == 4
    assert width_of(time_innermost(x)) == 1
    assert width_of(samples_innermost(x)) == 4
    assert width_of(samples_innermost(x), "dual") == 1  # neighbours on both paths
    assert width_of(misaligned(x)) == 1
    assert width_of(torch.randn(4, 2, 3, 5, 5).half()) == 2  # 150 neurons


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exact_ties_fire(kernels, dtype):
    p = LIFParameters(2.0, 0.5, 0.0, False, True, Surrogate("rectangle", 1.0))
    x = (torch.randint(-8, 9, (6, 2, 64, 8)) * 0.125).to(dtype)
    out = kernels.forward(x, p, "spike")
    assert torch.equal(out.double(), reference.mixed_lif(x.double(), p, "spike"))
    assert (membrane(x.double(), p) == 0.5).sum() > 50
    # u = 0 and u = 1 lie on the edges of h, which are outside of it
    grad_x = kernels.backward(torch.ones_like(x), x, p)
    _, expected = with_gradient(
        x.double(), p, "spike", torch.ones_like(x, dtype=torch.double)
    )
    assert torch.equal(grad_x.double(), expected.to(dtype).double())


def test_not_a_number_stays_one(kernels):
    x = torch.tensor([math.nan, math.inf, -math.inf, 3e38, -3e38]).view(1, 1, 5)
    for surrogate in SURROGATES:
        p = parameters(surrogate)
        for path in ("spike", "analog"):
            out = kernels.forward(x, p, path)
            expected = reference.mixed_lif(x, p, path)
            torch.testing.assert_close(out, expected, equal_nan=True)
        grad_x = kernels.backward(torch.ones_like(x), x, p)
        _, expected = with_gradient(x, p, "spike", torch.ones_like(x))
        torch.testing.assert_close(grad_x, expected, equal_nan=True)


def test_wide_index(kernels, monkeypatch):
    monkeypatch.setattr(cuda_source, "is_wide", lambda x: True)
    x = time_second(torch.randn(4, 2, 6, 3, 4))
    p, grad = parameters(), torch.randn(4, 2, 6, 3, 4)
    expected, expected_grad = with_gradient(x, p, "dual", grad)
    assert torch.equal(kernels.forward(x, p, "dual"), expected)
    torch.testing.assert_close(kernels.backward(grad, x, p), expected_grad)


def test_division_becomes_multiplication_only_where_both_are_exact():
    x = torch.randn(10_000)
    for value in (0.25, 0.5, 1.0, 2.0, 64.0):
        assert reference.has_exact_inverse(value)
        assert torch.equal(x / value, x * torch.tensor(1.0).div(value))
    for value in (0.7, 1.5, 3.0, 10.0, 2.0**100):
        assert not reference.has_exact_inverse(value)


def test_index_becomes_wide_at_two_to_the_31():
    assert not cuda_source.is_wide(torch.empty(2**31 - 1, 1, device="meta"))
    assert cuda_source.is_wide(torch.empty(2**31, 1, device="meta"))


@pytest.mark.parametrize("name", ["FLOAT16", "BFLOAT16"])
def test_conversions_equal_torch(cuda_on_cpu, name):
    dtype = getattr(torch, name.lower())
    library = cuda_on_cpu.libraries[name, 1, 0]

    def convert(function, source, result):
        addresses = (ctypes.c_void_p(t.data_ptr()) for t in (source, result))
        function(*addresses, ctypes.c_longlong(len(source)))
        return result

    halves = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    floats = convert(library.to_floats, halves, torch.empty(2**16))
    torch.testing.assert_close(floats, halves.float(), rtol=0, atol=0, equal_nan=True)

    # Every value, every midpoint between two, and both neighbours of the midpoint.
    # With 16 random low bits besides, all rounding cases of all exponents.
    number = floats[floats.isfinite()].sort().values.double()
    middle = ((number[1:] + number[:-1]) / 2).float()
    up, down = torch.tensor(math.inf), torch.tensor(-math.inf)
    high = torch.arange(-(2**15), 2**15, dtype=torch.int32) << 16
    noise = (high + torch.randint(0, 2**16, (2**16,)).int()).view(torch.float32)
    around = (middle, middle.nextafter(up), middle.nextafter(down))
    # NaNs that careless rounding turns into zero and into infinity
    nans = torch.tensor([0x7FFFFFFF, 0x7F800001, -1, -0x7FFFFF], dtype=torch.int32)
    assert nans.view(torch.float32).isnan().all()
    infinities = torch.tensor([math.inf, -math.inf])
    values = [floats, *around, noise, infinities, nans.view(torch.float32)]
    values = torch.cat(values)
    back = convert(library.from_floats, values, torch.empty(len(values), dtype=dtype))
    expected = values.to(dtype)
    number = ~values.isnan()
    assert back[~number].isnan().all()
    bits = back.view(torch.int16), expected.view(torch.int16)
    assert torch.equal(bits[0][number], bits[1][number])


def covering_options():
    """Pairs of kernel and options with every value of every option in them."""
    reset, path = itertools.cycle(RESETS), itertools.cycle(PATHS)
    for i, surrogate in enumerate(SURROGATES * 3):
        p = parameters(surrogate, next(reset), i % 2 == 0, i % 4 < 2, i % 3 == 0)
        steps, lanes = ((4, 8), (1, 1), (7, 4), (40, 1))[i % 4]
        kind = DTYPES[(i // 4 + i) % 3]
        lanes = min(lanes, 16 // kind.itemsize)
        yield cuda_source.compile_options(p, next(path), kind, steps, lanes, i % 5 == 0)


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("name", ["mixed_lif_forward", "mixed_lif_backward"])
def test_compiles(cuda_compiler, name, architecture):
    for options in covering_options():
        assert cuda_compiler.compile(name, options, architecture).log == ""


def test_compiler_message_surfaces(cuda_compiler):
    options = ("-DT_STEPS=4", "-DSCALAR=FLOAT32")
    answer = cuda_compiler.compile("mixed_lif_forward", options, "sm_90")
    assert "NEURONS_PER_THREAD" in answer.log


def test_launch_code_knows_no_gpu_until_it_runs():
    assert "cupy" not in sys.modules or torch.cuda.is_available()
    assert cuda_source.BLOCK_THREADS % 32 == norm_source.BLOCK_THREADS % 32 == 0


# On a CUDA device. --------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_gpu_equals_reference(device, surrogate, dtype):
    layouts = itertools.cycle(LAYOUTS)
    bit = 4 * LAST_BIT[dtype]
    for steps, path, v_reset, odd in itertools.product((1, 4, 7), PATHS, RESETS, BOOLS):
        p = parameters(surrogate, v_reset, odd=odd, detach=not odd)
        x = next(layouts)(torch.randn(steps, 4, 8, 3, 2).to(dtype))
        grad = torch.randn(x.shape).to(dtype)
        expected, expected_grad = with_gradient(x, p, path, grad)
        on_device = torch.empty_like(x, device=device).copy_(x)
        out = cupy.forward(on_device, p, path).cpu()
        grad_x = cupy.backward(grad.to(device), on_device, p).cpu()
        sound = ~near_a_jump(x.double(), p)
        bounds = {"rtol": bit, "atol": bit}
        torch.testing.assert_close(out[sound], expected[sound], **bounds)
        torch.testing.assert_close(grad_x[sound], expected_grad[sound], **bounds)


@pytest.mark.gpu
def test_gpu_runs_on_the_current_stream(device):
    neuron, x = MixedLIF(backend="cupy"), torch.randn(4, 8, 64, 32, device=device)
    expected = neuron(x)
    late = torch.zeros_like(x)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # anything on another stream would read zeros
        late.copy_(x)
        out = neuron(late)
    stream.synchronize()
    assert torch.equal(out, expected)


@pytest.mark.gpu
def test_gpu_leaves_the_current_device_alone(device):
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device only")
    x = torch.randn(4, 2, 8, device="cuda:1", requires_grad=True)
    with torch.cuda.device(0):
        out = MixedLIF(backend="cupy")(x)
        out.sum().backward()
        assert torch.cuda.current_device() == 0
    expected = MixedLIF(backend="torch")(x.detach().cpu())
    assert torch.equal(out.detach().cpu(), expected)


@pytest.mark.gpu
def test_gpu_compiles_into_one_graph(device):
    neuron = MixedLIF(backend="cupy")
    x = torch.randn(4, 2, 8, 4, device=device, requires_grad=True)
    expected = torch.autograd.grad(neuron(x * 2).square().sum(), x)
    compiled = torch.compile(lambda x: neuron(x * 2).square().sum(), fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x), expected)


@pytest.mark.gpu
def test_gpu_takes_what_autocast_hands_it(device):
    layer, neuron = torch.nn.Linear(8, 8).to(device), MixedLIF(backend="cupy")
    with torch.autocast("cuda", torch.bfloat16):
        current = layer(torch.randn(4, 2, 8, device=device))
        out = neuron(current)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, MixedLIF(backend="torch")(current))


@pytest.mark.gpu
def test_gpu_is_graph_capturable(device):
    neuron, x = MixedLIF(backend="cupy"), torch.randn(4, 2, 8, 64, device=device)
    expected = neuron(x)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = neuron(x)
    out.zero_()
    graph.replay()
    assert torch.equal(out, expected)
