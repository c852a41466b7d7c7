"""MixedILIF in the fused kernels, on the CPU and on CUDA, against float64.

Alone, after a batch norm, and max-pooled. The CUDA sources run on the CPU.
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
    channels_last,
    contiguous,
    integer_parameters,
    misaligned,
    near_an_integer_jump,
    strided,
    time_second,
)
from norm_cases import EPS, case, normalized
from torch import nn

from snnssl_mm.models.batch_norm import normalize, normalize_and_fire, takes_norm
from snnssl_mm.models.layers import halve, normalize_fire_and_halve
from snnssl_mm.neurons import MixedILIF, MixedLIF, Normalization
from snnssl_mm.neurons.kernels import cuda_source, cupy, norm_source, ops
from snnssl_mm.neurons.kernels.integer_reference import mixed_ilif

cpu = pytest.importorskip("snnssl_mm.neurons.kernels.cpu")

OPTIONS = (
    *((d, scaled, True, False) for d in (1, 4, 8) for scaled in BOOLS),
    *((d, scaled, False, True) for d in (1, 4, 8) for scaled in BOOLS),
    *((3, scaled, False, False) for scaled in BOOLS),  # divisions by 3 round
)
"""Levels, normalize, detach_reset and odd constants of integer_parameters."""
LAYOUTS = (contiguous, channels_last, time_second, strided, misaligned)
SHAPES = ((4, 8, 4, 4), (2, 5, 3, 7), (2, 72, 5, 4), (6, 3, 12, 9), (2, 1, 6, 5))


@pytest.fixture(params=["cpu", "cuda"])
def fused(request, monkeypatch):
    if request.param == "cpu":
        return cpu
    monkeypatch.setattr(norm_source, "BLOCK_THREADS", 64)
    return request.getfixturevalue("kernels")


def with_gradient(x, p, path, grad):
    leaf = x.detach().clone().requires_grad_()
    out = mixed_ilif(leaf, p, path)
    out.backward(grad)
    return out.detach(), leaf.grad


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_equals_the_reference(fused, path, dtype):
    layouts, bit = itertools.cycle(LAYOUTS), LAST_BIT[dtype]
    sound_neurons = neurons = 0
    for (levels, *rest), steps in itertools.product(OPTIONS, (1, 4)):
        p = integer_parameters(levels, *rest)
        x, grad = (levels * torch.randn(2, steps, 4, 8, 3, 2)).to(dtype).unbind()
        x, grad = next(layouts)(x), next(layouts)(grad)
        out = fused.forward(x, p.for_kernels, path)
        grad_x = fused.backward(grad, x, p.for_kernels)
        assert out.dtype == grad_x.dtype == dtype
        exact, exact_grad = with_gradient(x.double(), p, path, grad.double())
        sound = ~near_an_integer_jump(x.double(), p)
        sound_neurons, neurons = sound_neurons + sound.sum(), neurons + sound.numel()
        if path == "spike":
            assert torch.equal(out[sound], exact[sound].to(dtype))
        bounds = {"rtol": 4 * bit, "atol": 4 * levels * bit}
        torch.testing.assert_close(out[sound].double(), exact[sound], **bounds)
        torch.testing.assert_close(grad_x[sound].double(), exact_grad[sound], **bounds)
    # coarse types often lie between two integers exactly; a test of its own counts it
    assert sound_neurons > (0.99 if dtype == torch.float32 else 0.8) * neurons


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("pooled", BOOLS)
def test_equals_batch_norm_and_both_in_float64(fused, pooled, dtype):
    shapes, layouts = itertools.cycle(SHAPES), itertools.cycle(LAYOUTS)
    steps, options = itertools.cycle((4, 1)), itertools.cycle(OPTIONS)
    bit, sound_outputs, outputs = LAST_BIT[dtype], 0, 0
    for path, groups, held, from_batch in itertools.product(
        PATHS, (1, 2), BOOLS, BOOLS
    ):
        p, t = integer_parameters(*next(options)), next(steps)
        x, weight, bias, grad = case(next(shapes), t, held, next(layouts), dtype)
        weight, bias = 2 * weight, bias + 1
        mean, var = fused.batch_moments(x, groups)
        if not from_batch:
            mean, var = (a.mean(0).expand(groups, -1) + 0.1 for a in (mean, var))
        norm = Normalization(mean, var, weight, bias, EPS, from_batch)
        given = None if from_batch else (mean[0].double(), var[0].double())
        leaves = [a.double().contiguous().requires_grad_() for a in (x, weight, bias)]
        y = normalized(*leaves, groups, given).expand(t, *x.shape[1:])
        expected, wild = mixed_ilif(y, p, path), y.detach().new_zeros(y.shape).bool()
        for moved in (-2e-5, 0.0, 2e-5):
            wild |= near_an_integer_jump(y.detach() + moved, p)
        if pooled:
            wild = halved(wild.double()) > 0
            wild |= gap_below_maximum(expected.detach()) < 1e-4
            expected, grad = halved(expected), halved(grad)
        grad = grad.masked_fill(wild, 0)
        expected.backward(grad.double())

        out, window = fused.norm_forward(x, norm, t, p.for_kernels, path, pooled)
        gradients = fused.norm_backward(grad, x, norm, p.for_kernels, window=window)

        sound_outputs, outputs = sound_outputs + (~wild).sum(), outputs + wild.numel()
        got, want = out[~wild], expected.detach()[~wild]
        if path == "spike":
            assert torch.equal(got, want.to(dtype))
        bounds = {"rtol": 4 * bit, "atol": max(4 * bit, 4e-5)}
        torch.testing.assert_close(got.double(), want, **bounds)
        for ours, leaf in zip(gradients, leaves, strict=True):
            scale = max(1.0, leaf.grad.abs().max().item(), 8 * norm.rstd.max().item())
            error = (ours.double() - leaf.grad).abs().max().item()
            rounding = bit if leaf is leaves[0] else 0.0
            assert error <= scale * (rounding + 1e-4), (path, groups, held, p)
    assert sound_outputs > 0.9 * outputs


def halved(x):
    return F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])


def gap_below_maximum(x):
    """Distance of a window's maximum from the next smaller value."""
    padded = F.pad(x.flatten(0, 1), (1, 2, 1, 2), value=-9.0)
    nine = padded.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4)
    largest = nine.amax(-1)
    others = nine.masked_fill(nine == largest[..., None], -9.0)
    rows, columns = ((n + 1) // 2 for n in x.shape[3:])
    gap = largest - others.amax(-1)
    return gap[..., :rows, :columns].unflatten(0, x.shape[:2])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("levels", [1, 4, 8])
def test_ties_are_rounded_half_to_even(fused, levels, dtype):
    """Multiples of 1/4 with beta = 1/4 and T = 2: nothing else is rounded."""
    x = (torch.arange(-8, 4 * levels + 9) / 4).repeat(2, 1).view(2, 1, 1, -1).to(dtype)
    p = integer_parameters(levels, False)
    out = fused.forward(x, p.for_kernels, "spike")
    grad_x = fused.backward(torch.ones_like(x), x, p.for_kernels)
    exact, exact_grad = with_gradient(
        x.double(), p, "spike", torch.ones(x.shape).double()
    )
    assert torch.equal(out.double(), exact)
    assert torch.equal(grad_x.double(), exact_grad)
    ties = x[0] % 1 == 0.5
    assert (out[0][ties] % 2 == 0).logical_or(out[0][ties] == levels).all()


def test_not_a_number_stays_one(fused):
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, 3e38, -3e38, 1e-45])
    x = x.view(1, 1, 1, -1)
    for path, scaled in itertools.product(("spike", "analog"), BOOLS):
        p = integer_parameters(4, scaled)
        expected = with_gradient(x, p, path, torch.ones_like(x))
        found = fused.forward(x, p.for_kernels, path)
        grad_x = fused.backward(torch.ones_like(x), x, p.for_kernels)
        assert found[..., 0].isnan()
        torch.testing.assert_close((found, grad_x), expected, equal_nan=True)


@pytest.mark.parametrize("path", PATHS)
def test_one_level_is_mixed_lif_of_threshold_one_half(fused, path):
    """In one time step, away from ties: one half fires in MixedLIF, not here."""
    x, grad = torch.randn(2, 1, 4, 8, 5, 5).unbind()
    binary = MixedLIF(v_threshold=0.5, v_reset=None).config
    p = integer_parameters(1).for_kernels
    torch.testing.assert_close(
        fused.forward(x, p, path), fused.forward(x, binary, path), rtol=0, atol=1e-6
    )
    pair = [fused.backward(grad, x, q) for q in (p, binary)]
    assert torch.equal(*pair)


# The layer. ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("training", BOOLS)
@pytest.mark.parametrize("pooled", BOOLS)
def test_layers_fuse_batch_norm_and_pooling(path, training, pooled):
    norm, neuron = nn.BatchNorm2d(12).train(training), MixedILIF(4)
    neuron.path = path
    norm.weight.data += 1
    x = channels_last(torch.randn(2, 4, 12, 6, 8)).requires_grad_()
    fused = normalize_fire_and_halve if pooled else normalize_and_fire
    assert takes_norm(neuron, x)

    def one_by_one(norm, neuron, x, steps):
        out = neuron(normalize(norm, x))
        return halve(out) if pooled else out

    leaves, results = [x, norm.weight, norm.bias], []
    for layer in (fused, one_by_one):
        out = layer(norm, neuron, x, 2)
        grads = torch.autograd.grad(out.square().sum(), leaves)
        results.append([out.detach(), *grads])
    for ours, theirs in zip(*results, strict=True):
        # but for neurons that rounding pushes to another integer
        error = (ours - theirs).abs() > 1e-3 * theirs.abs().max()
        assert error.float().mean() < 5e-3


@pytest.mark.parametrize("backend", ["auto", "torch", "cpu"])
def test_compiles_into_one_graph(backend):
    neuron = MixedILIF(4, backend=backend)
    neuron.path = "dual"
    module, x = nn.Sequential(nn.Linear(8, 8), neuron), torch.randn(4, 2, 8)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    weight = module[0].weight
    pair = [
        (f(x), *torch.autograd.grad(f(x).sum(), weight)) for f in (module, compiled)
    ]
    torch.testing.assert_close(*pair)


@pytest.mark.parametrize("path", PATHS)
def test_operators_keep_torchs_rules(path):
    *scalars, family = integer_parameters().for_kernels
    x = torch.randn(2, 4, 6, 4, 4, requires_grad=True)
    arguments = (x, *scalars, *family, path)
    torch.library.opcheck(torch.ops.snnssl_mm.mixed_lif.default, arguments)
    affine, remembered = (torch.ones(6), torch.zeros(6)), (None, None, None, None)
    settings = (EPS, 1, False, 2, *arguments[1:], False)
    torch.library.opcheck(
        ops.batch_norm_mixed_lif_op.op,
        (x, *affine, *remembered, *settings),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@pytest.mark.parametrize(
    "name",
    [
        *("mixed_lif_forward", "mixed_lif_backward"),
        *(
            f"norm_mixed_lif_{k}"
            for k in ("forward", "pool_forward", "sums", "backward")
        ),
    ],
)
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_compiles(cuda_compiler, name, architecture):
    pooled, held = itertools.cycle(BOOLS), itertools.cycle(BOOLS)
    for dtype, (scaled, steps) in itertools.product(DTYPES, ((False, 1), (True, 4))):
        p = integer_parameters(4, scaled, detach=not scaled).for_kernels
        macros = cuda_source.memory_macros(dtype, steps, 4, False)
        macros |= cuda_source.neuron_macros(p, "dual")
        if name.startswith("norm"):
            maps = torch.empty((steps, 4, 48, 4, 4), dtype=dtype, device="meta")
            walk = norm_source.Walk.over(channels_last(maps), 2, 4, (), 1056, last=True)
            macros |= {"HELD": int(next(held)), "POOLED": int(next(pooled))}
            macros |= walk.macros | {"NEURONS_PER_THREAD": walk.lanes}
        options = cuda_source.as_options(macros)
        assert cuda_compiler.compile(name, options, architecture).log == ""


# On a CUDA device. --------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_gpu_equals_its_sources_on_the_cpu(device, cuda_on_cpu, path, dtype):
    bit = 4 * LAST_BIT[dtype]
    for levels, scaled, detach, pooled in itertools.product(
        (1, 4), BOOLS, BOOLS, BOOLS
    ):
        p = integer_parameters(levels, scaled, detach).for_kernels
        x, weight, bias, grad = case((4, 24, 9, 6), 4, False, channels_last, dtype)
        grad = channels_last(halved(grad)) if pooled else grad
        results = []
        with pytest.MonkeyPatch.context() as patch:
            cuda_on_cpu.take_over(patch)
            norm = Normalization(*cupy.batch_moments(x, 1), weight, bias, EPS, True)
            results += outputs_of(x, grad, norm, p, path, pooled)
        there = Normalization(*(a.to(device) for a in norm[:4]), EPS, True)
        found = outputs_of(x.to(device), grad.to(device), there, p, path, pooled)
        for ours, theirs in zip(found, results, strict=True):
            error = (ours.cpu().float() - theirs.float()).abs()
            wrong = error > bit * max(1.0, theirs.float().abs().max().item())
            assert wrong.float().mean() < 1e-3


def outputs_of(x, grad, norm, p, path, pooled):
    out, window = cupy.norm_forward(x, norm, 4, p, path, pooled)
    gradients = cupy.norm_backward(grad, x, norm, p, window=window)
    alone = [cupy.forward(x, p, path), cupy.backward(x, x, p)]
    return [out, gradients[0], *alone]
