"""A batch norm in front of MixedLIF on CUDA: the sources run on the CPU, and a GPU."""

from __future__ import annotations

import functools
import itertools

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
    misaligned,
    near_a_jump,
    parameters,
)
from norm_cases import EPS, calm, case, exact, normalized
from torch import nn

from snnssl_mm.models import PerViewBatchNorm2d
from snnssl_mm.models.batch_norm import normalize, normalize_and_fire
from snnssl_mm.neurons import MixedLIF, Normalization, RunningStatistics
from snnssl_mm.neurons.kernels import cuda_source, cupy, norm_source
from snnssl_mm.neurons.kernels.norm_source import Walk

LAYOUTS = (contiguous, channels_last, misaligned)
# with vectors and without, a part of a block and several, with positions and without
SHAPES = ((4, 8, 4, 4), (2, 5, 3, 7), (4, 16), (2, 72, 5, 4), (6, 3, 12, 9))


@pytest.fixture
def fused(kernels, monkeypatch):
    """``kernels.cupy`` on the CPU, with so few blocks that threads take rounds."""
    monkeypatch.setattr(norm_source, "BLOCK_THREADS", 64)
    return kernels


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_equal_to_float64(fused, surrogate, v_reset, dtype):
    layouts, shapes = itertools.cycle(LAYOUTS), itertools.cycle(SHAPES)
    steps, from_batch = itertools.cycle((4, 1, 7)), itertools.cycle((True, True, False))
    bit, sound_neurons, neurons = LAST_BIT[dtype], 0, 0
    for path, groups, held, odd, detach in itertools.product(
        PATHS, (1, 2), BOOLS, BOOLS, BOOLS
    ):
        p = parameters(surrogate, v_reset, odd, detach, odd)
        t, layout = next(steps), next(layouts)
        x, weight, bias, grad = case(next(shapes), t, held, layout, dtype)
        statistics = None
        if next(from_batch):
            mean, variance = fused.batch_moments(x, groups)
        else:
            statistics = torch.randn(x.shape[2]), torch.rand(x.shape[2]) + 0.5
            mean, variance = (s.expand(groups, -1) for s in statistics)
        norm = Normalization(mean, variance, weight, bias, EPS, statistics is None)
        options = (p, path, groups, statistics, t)
        y, _, _ = exact(x, weight, bias, *options, grad)
        grad, sound = calm(y, p, grad, dtype)

        out, _ = fused.norm_forward(x, norm, t, p, path)
        gradients = fused.norm_backward(grad, x, norm, p)

        _, expected, expected_gradients = exact(x, weight, bias, *options, grad)
        sound_neurons, neurons = sound_neurons + sound.sum(), neurons + sound.numel()
        if path == "spike":
            assert torch.equal(out[sound].double(), expected[sound])
        bounds = {"rtol": 4 * bit, "atol": max(4 * bit, 2e-5)}
        torch.testing.assert_close(out[sound].double(), expected[sound], **bounds)
        for got, want, tensor in zip(
            gradients, expected_gradients, (x, weight, bias), strict=True
        ):
            # terms of the size of rstd cancel, completely for two values a channel
            scale = max(1.0, want.abs().max().item(), 4 * norm.rstd.max().item())
            error = (got.double() - want).abs().max().item()
            rounding = bit if tensor is x else 0.0
            assert error <= scale * (rounding + 1e-4), (path, groups, held, odd)
        assert gradients[0].dtype == out.dtype == dtype
        assert gradients[1].dtype == gradients[2].dtype == torch.float32
    assert sound_neurons > 0.98 * neurons


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2])
def test_moments_are_precise(fused, layout, groups):
    for shape, dtype in itertools.product(SHAPES, DTYPES):
        offset = 100.0 if dtype == torch.float32 else 4.0  # E[x^2] - E[x]^2 cancels
        x = layout((torch.randn(4, *shape) + offset).to(dtype))
        mean, variance = fused.batch_moments(x, groups)
        for i, half in enumerate(x.double().chunk(groups, dim=1)):
            axes = [d for d in range(half.dim()) if d != 2]
            expected = torch.var_mean(half, axes, correction=0)
            torch.testing.assert_close(mean[i], expected[1].float())
            torch.testing.assert_close(
                variance[i], expected[0].float(), rtol=5e-6, atol=0
            )
    constant = fused.batch_moments(torch.full((2, 2, 3, 4), 0.1), 1)
    assert constant[1].abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_running_statistics_are_those_of_torch(fused, dtype):
    """Updated by the kernel, or after it if their type is another one."""
    for layout, groups in itertools.product(LAYOUTS, (1, 2)):
        norm = nn.BatchNorm2d(24, momentum=0.3)
        running = RunningStatistics(
            torch.zeros(24, dtype=dtype),
            torch.ones(24, dtype=dtype),
            torch.tensor(0),
            norm.momentum,
        )
        for _ in range(3):
            x = layout(torch.randn(4, 6, 24, 3, 5) + 2)
            fused.batch_moments(x, groups, running)
            norm(x.chunk(groups, 1)[0].flatten(0, 1))
        assert running.tracked == norm.num_batches_tracked == 3
        bounds = {"rtol": LAST_BIT[dtype] * 4, "atol": LAST_BIT[dtype]}
        for own, name in zip(running, ("running_mean", "running_var"), strict=False):
            expected = getattr(norm, name).to(dtype)
            torch.testing.assert_close(own, expected, **bounds)


def test_sums_are_the_same_every_time_and_close_to_those_of_one_block(
    fused, monkeypatch
):
    x, weight, bias, grad = case((8, 24, 9, 8), 4, False, channels_last, torch.float32)
    mean, variance = fused.batch_moments(x, 1)
    norm = Normalization(mean, variance, weight, bias, EPS, True)
    results = [fused.norm_backward(grad, x, norm, parameters()) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
    monkeypatch.setattr(fused, "REDUCING_BLOCKS_PER_MULTIPROCESSOR", 1)
    for one, many in zip(
        fused.norm_backward(grad, x, norm, parameters()), results[0], strict=True
    ):
        torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-5)


def planned(shape, halves=1, dtype=torch.float32, most_blocks=1056, last=True, kept=0):
    """Walk of the backward pass, or of a kernel that keeps fewer registers."""
    x = torch.empty(shape, dtype=dtype, device="meta")
    x = channels_last(x) if last else x
    registers = (kept,) if kept else (2 * shape[0], norm_source.GRADIENT_REGISTERS)
    return Walk.over(x, halves, registers[0], (), most_blocks, *registers[1:])


def test_threads_read_vectors_and_warps_read_neighbours():
    stage = functools.partial(planned, (4, 64, 384, 14, 14), 2)
    bf16 = functools.partial(stage, dtype=torch.bfloat16)
    assert bf16(kept=2)[:7] == (8, True, 2, 32 * 196, 48, 1, 32)
    assert bf16()[:7] == (4, True, 2, 32 * 196, 96, 1, 32)  # a norm for each neuron
    assert stage(last=False)[:7] == (4, False, 2, 32, 384, 49, 1)
    assert stage().grid == (3, 176, 2)  # all that the device can make use of
    assert planned((4, 2, 3, 5, 5)).block_columns == 4  # of 3
    assert planned((4, 2, 96, 4, 4), last=False).block_columns == 8  # 4 packs apart
    assert planned((1, 2, 8, 2, 2)).slices == 1  # no more than there is to do
    with pytest.raises(ValueError, match="3"):
        planned((4, 3, 8, 4, 4), 2)


@pytest.mark.parametrize("name", ["batch_moments", "forward", "sums", "backward"])
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_compiles(cuda_compiler, name, architecture):
    surrogates, resets = itertools.cycle(SURROGATES), itertools.cycle(RESETS)
    last, held, wide = (itertools.cycle(BOOLS) for _ in range(3))
    for dtype, steps in itertools.product(DTYPES, (1, 4)):
        shape = (steps, 4, 48, 4, 4) if steps == 4 else (steps, 4, 3, 5, 5)
        walk = planned(shape, 2, dtype, last=next(last))
        macros = cuda_source.memory_macros(dtype, steps, walk.lanes, next(wide))
        if name != "batch_moments":
            p = parameters(next(surrogates), next(resets))
            macros |= cuda_source.neuron_macros(p, "dual")
            macros |= {"HELD": int(next(held)), "POOLED": 0}
        options = cuda_source.as_options(macros | walk.macros)
        kernel = name if name == "batch_moments" else f"norm_mixed_lif_{name}"
        assert cuda_compiler.compile(kernel, options, architecture).log == ""


# On a CUDA device. --------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_gpu_equals_its_sources_on_the_cpu(
    device,
    cuda_on_cpu,
    surrogate,
    dtype,
):
    bit = 4 * LAST_BIT[dtype]
    layouts, shapes = itertools.cycle(LAYOUTS), itertools.cycle(SHAPES)
    for path, groups, held, v_reset in itertools.product(PATHS, (1, 2), BOOLS, RESETS):
        p = parameters(surrogate, v_reset)
        x, weight, bias, grad = case(next(shapes), 4, held, next(layouts), dtype)
        results = []
        for place in ("cpu", device):
            on = [torch.empty_like(t, device=place).copy_(t) for t in (x, grad)]
            with pytest.MonkeyPatch.context() as patch:
                if place == "cpu":
                    cuda_on_cpu.take_over(patch)
                mean, variance = cupy.batch_moments(on[0], groups)
                if results:  # a last bit of a moment may flip a spike
                    torch.testing.assert_close(mean.cpu(), results[0])
                    torch.testing.assert_close(variance.cpu(), results[1])
                    mean, variance = (m.to(device) for m in results[:2])
                else:
                    results += [mean, variance]
                shared = (weight.to(place), bias.to(place))
                norm = Normalization(mean, variance, *shared, EPS, True)
                out, _ = cupy.norm_forward(on[0], norm, 4, p, path)
                results += [out, *cupy.norm_backward(on[1], on[0], norm, p)]
        y = normalized(x.double(), weight.double(), bias.double(), groups, None)
        sound = ~near_a_jump(y.expand(4, *y.shape[1:]), p)
        expected, got = results[2:6], [t.cpu() for t in results[6:]]
        bounds = {"rtol": bit, "atol": max(bit, 1e-4)}
        torch.testing.assert_close(got[0][sound], expected[0][sound], **bounds)
        if sound.all():  # else one neuron's jump reaches all others of its channel
            torch.testing.assert_close(got[1:], expected[1:], **bounds)


def stage(device, path):
    """A batch norm, a neuron, what they take and what they should give."""
    norm, neuron = PerViewBatchNorm2d(24).to(device), MixedLIF(surrogate="atan")
    neuron.path, norm.views = path, 2
    nn.init.normal_(norm.weight, 1.0, 0.2)
    x = channels_last(torch.randn(4, 8, 24, 14, 14, device=device)).requires_grad_()

    def gradients(function):
        out = function(x)
        grads = torch.autograd.grad(out.square().sum(), [x, *norm.parameters()])
        return out.detach(), *grads

    expected = gradients(lambda x: neuron(normalize(norm, x)))
    return norm, neuron, x, gradients, expected


def agree(got, expected):
    """The same but for neurons that rounding pushes over the threshold, and theirs."""
    for a, b in zip(got, expected, strict=True):
        error = (a - b).abs() > 1e-3 * b.abs().max()
        assert error.float().mean() < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("path", PATHS)
def test_gpu_layers_fuse_and_compile(device, path):
    norm, neuron, x, gradients, expected = stage(device, path)
    assert neuron.fuses_norm(x)

    def fused(x):
        return normalize_and_fire(norm, neuron, x, 4)

    agree(gradients(fused), expected)
    agree(gradients(torch.compile(fused, fullgraph=True)), expected)


@pytest.mark.gpu
def test_gpu_layers_are_graph_capturable(device):
    norm, neuron, _, gradients, expected = stage(device, "dual")

    def step():
        return gradients(lambda x: normalize_and_fire(norm, neuron, x, 4))

    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        step()  # compiles
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for result in captured:
        result.zero_()
    graph.replay()
    agree(captured, expected)
