"""Batch norm, MixedLIF and max-pooling in one kernel, on the CPU and on CUDA.

Against ``F.max_pool2d`` of both in float64, and against the kernels one by one. The
CUDA sources run on the CPU.
"""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from lif_cases import (
    BOOLS,
    DTYPES,
    LAST_BIT,
    PATHS,
    RESETS,
    SURROGATES,
    channels_last,
    contiguous,
    misaligned,
    parameters,
)
from norm_cases import EPS, calm, case, exact
from torch import nn

from snnssl_mm.models.batch_norm import normalize_and_fire
from snnssl_mm.models.layers import halve, normalize_fire_and_halve
from snnssl_mm.neurons import MixedLIF, Normalization
from snnssl_mm.neurons.kernels import cuda_source, cupy, norm_source, reference
from snnssl_mm.neurons.kernels.layout import is_channels_last
from snnssl_mm.neurons.kernels.norm_source import Walk

cpu = pytest.importorskip("snnssl_mm.neurons.kernels.cpu")

# odd and even sides, with vectors and without, one channel, one position, many blocks
SHAPES = (
    (4, 8, 4, 4),
    (2, 5, 3, 7),
    (2, 72, 5, 4),
    (6, 3, 12, 9),
    (2, 1, 6, 5),
    (4, 4, 1, 1),
    (2, 300, 2, 3),
)


@pytest.fixture(params=["cpu", "cuda"])
def fused(request, monkeypatch):
    if request.param == "cpu":
        return cpu
    monkeypatch.setattr(norm_source, "BLOCK_THREADS", 64)
    return request.getfixturevalue("kernels")


def halved(x):
    return F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])


def any_of_window(mask):
    return halved(mask.float()) > 0


def is_close_race(y, p, path):
    """Windows whose maximum rounding may move: the second is near, and not equal."""
    out = reference.mixed_lif(y, p, path)
    padded = F.pad(out.flatten(0, 1), (1, 2, 1, 2), value=-1.0)
    nine = padded.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4)
    gaps = nine.max(-1, keepdim=True).values - nine
    close = ((gaps > 0) & (gaps < 1e-5)).any(-1)
    sides = [(n + 1) // 2 for n in y.shape[3:]]
    return close[..., : sides[0], : sides[1]].unflatten(0, y.shape[:2])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_equals_all_three_in_float64(fused, surrogate, v_reset, dtype):
    shapes = itertools.cycle(SHAPES)
    layouts = itertools.cycle((channels_last, contiguous, channels_last, misaligned))
    steps, from_batch = itertools.cycle((4, 1, 7)), itertools.cycle((True, True, False))
    bit, sound_outputs, outputs = LAST_BIT[dtype], 0, 0
    for path, groups, held, odd in itertools.product(PATHS, (1, 2), BOOLS, BOOLS):
        p = parameters(surrogate, v_reset, odd, not odd, odd)
        t, layout = next(steps), next(layouts)
        x, weight, bias, _ = case(next(shapes), t, held, layout, dtype)
        statistics = None
        if next(from_batch) and x[0, :, 0].numel() > groups:
            mean, variance = fused.batch_moments(x, groups)
        else:
            statistics = torch.randn(x.shape[2]), torch.rand(x.shape[2]) + 0.5
            mean, variance = (s.expand(groups, -1) for s in statistics)
        norm = Normalization(mean, variance, weight, bias, EPS, statistics is None)
        grad = halved(torch.empty(t, *x.shape[1:]))
        grad = layout(torch.randn(grad.shape).to(dtype))
        options = (p, path, groups, statistics, t)
        y, _, _ = exact(x, weight, bias, *options, grad, pooled=True)
        _, tame = calm(y.expand(t, *y.shape[1:]), p, torch.ones(t, *y.shape[1:]), dtype)
        sound = ~any_of_window(~tame)
        sound &= ~is_close_race(y.expand(t, *y.shape[1:]), p, path)
        grad = grad.masked_fill(~sound, 0)

        out, window = fused.norm_forward(x, norm, t, p, path, True)
        gradients = fused.norm_backward(grad, x, norm, p, window=window)

        _, expected, wanted = exact(x, weight, bias, *options, grad, pooled=True)
        sound_outputs, outputs = sound_outputs + sound.sum(), outputs + sound.numel()
        if path == "spike":
            assert torch.equal(out[sound].double(), expected[sound])
        bounds = {"rtol": 4 * bit, "atol": max(4 * bit, 2e-5)}
        torch.testing.assert_close(out[sound].double(), expected[sound], **bounds)
        for got, want, tensor in zip(gradients, wanted, (x, weight, bias), strict=True):
            scale = max(1.0, want.abs().max().item(), 4 * norm.rstd.max().item())
            error = (got.double() - want).abs().max().item()
            rounding = bit if tensor is x else 0.0
            assert error <= scale * (rounding + 1e-4), (path, groups, held, odd)
        assert window.dtype == torch.uint8
        assert is_channels_last(out)
        assert is_channels_last(gradients[0])
        assert gradients[0].dtype == out.dtype == dtype
    assert sound_outputs > 0.9 * outputs


def one_by_one(fused, x, norm, p, path, grad):
    """Pooled output and gradients, of the kernels without pooling."""
    spikes, _ = fused.norm_forward(x, norm, len(grad), p, path)
    out = halved(spikes.requires_grad_())
    (grad_spikes,) = torch.autograd.grad(out, spikes, grad)
    return out.detach(), *fused.norm_backward(grad_spikes, x, norm, p)


def problem(fused, device="cpu"):
    tensors = case((4, 24, 9, 6), 4, False, channels_last, torch.float32)
    x, weight, bias, grad = (t.to(device) for t in tensors)
    norm = Normalization(*fused.batch_moments(x, 1), weight, bias, EPS, True)
    return x, norm, channels_last(halved(grad))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wide", BOOLS)
def test_equals_the_kernels_one_by_one(fused, path, wide, monkeypatch):
    """Ties of spikes included: the first of equal values gets the gradient."""
    monkeypatch.setattr(norm_source, "is_wide", lambda *_: wide)
    x, norm, grad = problem(fused)
    p = parameters("triangle")
    expected = one_by_one(fused, x, norm, p, path, grad)
    for _ in range(2):  # the same every time
        out, window = fused.norm_forward(x, norm, len(x), p, path, True)
        gradients = fused.norm_backward(grad, x, norm, p, window=window)
        assert torch.equal(out, expected[0])
        for got, want in zip(gradients, expected[1:], strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def test_the_gradient_goes_to_the_first_of_equal_maxima(fused):
    """All neurons fire: the first one of a window inside the map gets its gradient."""
    x = channels_last(torch.full((1, 1, 4, 5, 6), 3.0))
    ones, zeros = torch.ones(1, 4), torch.zeros(1, 4)
    norm = Normalization(zeros, ones, ones[0], zeros[0], 0.0)
    out, window = fused.norm_forward(x, norm, 1, parameters(), "spike", True)
    assert out.all()
    expected = torch.tensor([[4, 3, 3], [1, 0, 0], [1, 0, 0]], dtype=torch.uint8)
    assert torch.equal(window, expected.expand(window.shape))


def test_not_a_number_is_passed_on(fused):
    x, norm, _ = problem(fused)
    x[1, 2, 3, 4, 5] = torch.nan
    p = parameters("atan")
    expected, _ = fused.norm_forward(x, norm, len(x), p, "analog")
    out, window = fused.norm_forward(x, norm, len(x), p, "analog", True)
    assert out.isnan().any()
    torch.testing.assert_close(out, halved(expected), rtol=0, atol=0, equal_nan=True)
    assert window[1, 2, 3, 2, 2] == 5  # row 4 is the second, column 5 the last


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_maxima_are_found_before_rounding(fused, dtype):
    x, norm, _ = problem(fused)
    p, halves = parameters("sigmoid"), x.to(dtype)
    got = fused.norm_forward(halves, norm, len(x), p, "analog", True)
    want = fused.norm_forward(halves.float(), norm, len(x), p, "analog", True)
    assert torch.equal(got[0], want[0].to(dtype))
    assert torch.equal(got[1], want[1])


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("name", ["pool_forward", "sums", "backward"])
def test_compiles(cuda_compiler, name, architecture):
    surrogates, resets = itertools.cycle(SURROGATES), itertools.cycle(RESETS)
    held, wide = itertools.cycle(BOOLS), itertools.cycle(BOOLS)
    for dtype, steps in itertools.product(DTYPES, (1, 4)):
        maps = torch.empty((steps, 4, 48, 4, 4), dtype=dtype, device="meta")
        walk = Walk.over(channels_last(maps), 2, 4 * steps, (), 1056, last=True)
        p = parameters(next(surrogates), next(resets))
        macros = cuda_source.memory_macros(dtype, steps, walk.lanes, next(wide))
        macros |= cuda_source.neuron_macros(p, "dual")
        macros |= {"HELD": int(next(held)), "POOLED": 1}
        options = cuda_source.as_options(macros | walk.macros)
        kernel = f"norm_mixed_lif_{name}"
        assert cuda_compiler.compile(kernel, options, architecture).log == ""


# On a CUDA device. --------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_gpu_equals_the_kernels_one_by_one(device, path, dtype):
    x, norm, grad = problem(cupy, device)
    x, grad, p = x.to(dtype).float(), grad.to(dtype).float(), parameters("atan")
    expected = one_by_one(cupy, x, norm, p, path, grad)
    out, window = cupy.norm_forward(x.to(dtype), norm, len(x), p, path, True)
    backward = (grad.to(dtype), x.to(dtype), norm, p)
    gradients = cupy.norm_backward(*backward, window=window)
    again = cupy.norm_backward(*backward, window=window)
    assert all(map(torch.equal, gradients, again))
    assert torch.equal(out, expected[0].to(dtype))
    bounds = {"rtol": LAST_BIT[dtype], "atol": max(LAST_BIT[dtype], 1e-5)}
    for got, want in zip(gradients, expected[1:], strict=True):
        torch.testing.assert_close(got.float(), want, **bounds)


@pytest.mark.gpu
def test_gpu_layers_fuse_and_compile(device):
    norm, neuron = nn.BatchNorm2d(24).to(device), MixedLIF(surrogate="atan")
    x = channels_last(torch.randn(4, 8, 24, 15, 14, device=device)).requires_grad_()

    def fused(x):
        return normalize_fire_and_halve(norm, neuron, x, 4)

    def in_two_steps(x):
        return halve(normalize_and_fire(norm, neuron, x, 4))

    results = []
    for function in (in_two_steps, fused, torch.compile(fused, fullgraph=True)):
        out = function(x)
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        results.append((out.detach(), grad))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])
