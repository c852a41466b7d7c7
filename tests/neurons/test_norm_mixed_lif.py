"""Batch norm and MixedLIF in one operator, against both one by one in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from lif_cases import SURROGATES, channels_last, contiguous, membrane, strided
from torch import Tensor

from snnssl_mm.neurons import BatchNormalization, MixedLIF, Normalization
from snnssl_mm.neurons.kernels import ops, reference

STEPS, SAMPLES, CHANNELS = 3, 4, 20
EPS = 1e-5
cpu = pytest.importorskip("snnssl_mm.neurons.kernels.cpu")


LAYOUTS = {"contiguous": contiguous, "last": channels_last, "strided": strided}


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Batch norm of ``x`` [T, N, C, H, W], in ``groups`` halves of the samples."""
    parts = [
        F.batch_norm(part.flatten(0, 1), None, None, weight, bias, True, eps=EPS)
        for part in x.chunk(groups, 1)
    ]
    halves = [part.unflatten(0, (x.shape[0], -1)) for part in parts]
    return torch.cat(halves, 1)


def fused(x: Tensor, weight: Tensor, bias: Tensor, groups: int, p, path: str) -> Tensor:
    norm = BatchNormalization(weight, bias, None, EPS, groups)
    return ops.norm_mixed_lif(x, norm, STEPS, p, path)


def currents(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    y = batch_norm(x.double(), weight.double(), bias.double(), groups)
    return y.expand(STEPS, *y.shape[1:])


def without_ties(steps: int, groups: int, p) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and bias that keep all membranes off the jumps of s, h and g."""
    for seed in range(200):
        torch.manual_seed(seed)
        x = torch.randn(steps, SAMPLES, CHANNELS, 3, 5) * 2 + 1
        weight, bias = torch.rand(CHANNELS) + 0.5, torch.randn(CHANNELS)
        u = membrane(currents(x, weight, bias, groups), p) - p.v_threshold
        a = p.surrogate.width
        edges = {"rectangle": (a / 2,), "triangle": (a,)}.get(p.surrogate.name, ())
        jumps = [u.abs(), *((u.abs() - edge).abs() for edge in edges)]
        if min(distance.min() for distance in jumps) > 3e-5:
            return x, weight, bias
    raise AssertionError("no input without ties; use fewer neurons")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_equals_both_in_float64(surrogate, held, groups, layout):
    decay, v_reset = (False, 0.0) if groups == 1 else (True, None)
    p = MixedLIF(surrogate=surrogate, decay_input=decay, v_reset=v_reset).config
    x, *affine = without_ties(1 if held else STEPS, groups, p)
    leaves = [LAYOUTS[layout](x).requires_grad_()]
    leaves += [a.clone().requires_grad_() for a in affine]
    doubles = [a.double().requires_grad_() for a in (x, *affine)]

    out = fused(*leaves, groups, p, "dual")
    y = batch_norm(*doubles, groups)
    expected = reference.mixed_lif(y.expand(STEPS, *y.shape[1:]), p, "dual")

    grad = torch.randn(out.shape)
    got = torch.autograd.grad(out, leaves, grad)
    wanted = torch.autograd.grad(expected, doubles, grad.double())
    spikes = slice(0, SAMPLES // 2)
    assert torch.equal(out[:, spikes].double(), expected[:, spikes])
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=0)
    for ours, theirs in zip(got, wanted, strict=True):
        scale = theirs.abs().max()
        torch.testing.assert_close(
            ours / scale, (theirs / scale).float(), atol=3e-5, rtol=0
        )


@pytest.mark.parametrize("shape", [(2, 6, 7, 20, 30), (2, 6, 7)])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (1000.0, 1000.0), (0.0, 1000.0)])
def test_moments_are_accurate_far_from_zero(offset, shape):
    x = torch.randn(shape)
    x = channels_last(
        torch.cat([h + o for h, o in zip(x.chunk(2, 1), offset, strict=True)], 1)
    )
    for groups in (1, 2) if offset[0] == offset[1] else (2,):
        mean, var = cpu.batch_moments(x, groups)
        for index, part in enumerate(x.double().chunk(groups, 1)):
            expected = torch.var_mean(part.transpose(0, 2).flatten(1), 1, correction=0)
            torch.testing.assert_close(
                var[index].double(), expected[0], rtol=1e-5, atol=0
            )
            torch.testing.assert_close(
                mean[index].double(), expected[1], rtol=1e-6, atol=1e-6
            )


def test_fixed_statistics_have_no_gradient_of_their_own():
    x = torch.randn(STEPS, 2, 5, 3, 3, requires_grad=True)
    mean, var = torch.randn(1, 5), torch.rand(1, 5) + 0.5
    weight, bias = torch.rand(5) + 0.5, torch.randn(5)
    p = MixedLIF(surrogate="sigmoid").config
    out = ops.norm_mixed_lif(
        x, Normalization(mean, var, weight, bias, EPS), STEPS, p, "analog"
    )
    shape = (1, 1, -1, 1, 1)
    wide = x.detach().double().requires_grad_()
    scale = (var + EPS).rsqrt() * weight
    y = (wide - mean.view(shape)) * scale.view(shape) + bias.view(shape)
    expected = reference.mixed_lif(y, p, "analog")
    (got,) = torch.autograd.grad(out.sum(), x)
    (wanted,) = torch.autograd.grad(expected.sum(), wide)
    torch.testing.assert_close(got.double(), wanted, atol=1e-5, rtol=1e-4)


def test_held_input_equals_a_repeated_one():
    """The gradient of one step that stays is the sum of those of its copies."""
    p = MixedLIF().config
    x = torch.randn(1, 4, 6, 4, 4, requires_grad=True)
    weight, bias = torch.ones(6), torch.full((6,), 0.6)
    grad = torch.randn(STEPS, *x.shape[1:])
    held = fused(x, weight, bias, 1, p, "spike")
    repeated = fused(x.expand(STEPS, *x.shape[1:]), weight, bias, 1, p, "spike")
    assert torch.equal(held, repeated)
    (of_held,) = torch.autograd.grad(held, x, grad)
    (of_repeated,) = torch.autograd.grad(repeated, x, grad)
    torch.testing.assert_close(of_held, of_repeated, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_at_the_end_only(dtype):
    p = MixedLIF().config
    x = torch.randn(STEPS, 2, 6, 4, 4, dtype=dtype, requires_grad=True)
    wide = x.detach().float().requires_grad_()
    weight, bias = torch.rand(6) + 0.5, torch.randn(6)
    grad = torch.randn(x.shape, dtype=dtype)
    outs = [fused(a, weight, bias, 1, p, "dual") for a in (x, wide)]
    assert torch.equal(outs[0], outs[1].to(dtype))
    (got,) = torch.autograd.grad(outs[0], x, grad)
    (wanted,) = torch.autograd.grad(outs[1], wide, grad.float())
    assert torch.equal(got, wanted.to(dtype))


@pytest.mark.parametrize("layout", ["contiguous", "last"])
def test_operators_keep_torchs_rules(layout):
    p = MixedLIF().config
    x = LAYOUTS[layout](torch.randn(STEPS, 2, 6, 4, 4)).requires_grad_()
    weight, bias = torch.ones(6).requires_grad_(), torch.zeros(6).requires_grad_()
    given, affine = torch.ones(2, 1, 6), (weight, bias)
    remembered = (torch.zeros(6), torch.ones(6), torch.tensor(0), 0.1)
    *scalars, surrogate = p
    neuron = (STEPS, *scalars, *surrogate, "spike")
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for (operator, arguments), pooled in itertools.product(
        (
            (ops.norm_mixed_lif_op, (x, *given, *affine, EPS)),
            (ops.batch_norm_mixed_lif_op, (x, *affine, *remembered, EPS, 2, False)),
        ),
        (False, True),
    ):
        all_arguments = (*arguments, *neuron, pooled)
        torch.library.opcheck(operator.op, all_arguments, test_utils=checks)
    norm, settings = (x, *given, *affine), (EPS, True, False, *neuron[1:-1])
    window = torch.zeros(STEPS, 2, 6, 2, 2, dtype=torch.uint8)
    for grad, places in ((x, None), (torch.randn(window.shape), window)):
        torch.library.opcheck(
            ops.norm_mixed_lif_backward_op.op,
            (grad, *norm, places, *settings),
            test_utils=checks,
        )
    torch.library.opcheck(ops.halve_op.op, (x.flatten(0, 1),), test_utils=checks)


def test_what_cannot_be_computed_together_is_named():
    norm = Normalization(*torch.ones(2, 1, 3), *torch.ones(2, 3), EPS)
    with pytest.raises(ValueError, match="'torch'"):
        MixedLIF(backend="torch")(torch.zeros(2, 2, 3), norm)
    with pytest.raises(ValueError, match="4 .*2"):
        MixedLIF()(torch.zeros(4, 2, 3), norm, 2)
    elsewhere = torch.zeros(2, 2, 3, device="meta")
    assert not MixedLIF(backend="cpu").fuses_norm(elsewhere)
    with pytest.raises(ValueError, match="meta"):
        MixedLIF(backend="cpu")(elsewhere, norm)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 9), (16, 5)])
@pytest.mark.parametrize("spikes", [True, False])
def test_halving_equals_torchs_max_pooling(size, spikes):
    """Ties included: of equal values the first one gets the gradient."""
    x = torch.randn(6, 5, *size)
    x = (x > 0.5).float() if spikes else x
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    ours, theirs = ops.halve_op(x)[0], F.max_pool2d(x, 3, 2, 1)
    assert torch.equal(ours, theirs)
    grad = torch.randn(ours.shape)
    (got,) = torch.autograd.grad(ours, x, grad)
    (wanted,) = torch.autograd.grad(theirs, x, grad)
    torch.testing.assert_close(got, wanted)


def test_halving_passes_not_a_number_on():
    x = torch.zeros(1, 2, 4, 4)
    x[0, 1, 2, 2] = torch.nan
    x = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        ops.halve_op(x)[0], F.max_pool2d(x, 3, 2, 1), equal_nan=True
    )
