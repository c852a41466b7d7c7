"""Products of spikes in bfloat16 against float64: counts to the unit, gradients."""

import contextlib

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from snnssl_mm.models import attention
from snnssl_mm.models.attention import SpikingSelfAttention, spiking_attention
from snnssl_mm.models.spike_products import (
    LARGEST_EXACT,
    WideProduct,
    counts_of_counts,
    counts_of_pairs,
    multiplies_bf16,
)

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
            pytest.mark.gpu,
        ],
    ),
]
# Where a sum of ones is exact in bfloat16, its first integer that is not, and several
# parts with and without a rest. 64, 196 and 4,096 are the tokens of the networks.
TOKENS = [1, 64, 196, 256, 257, 511, 512, 4096]


def spikes(*shape, rate=0.9, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    found = torch.rand(shape, generator=generator) < rate
    return found.to(torch.bfloat16).to(device)


def test_bfloat16_holds_integers_up_to_the_limit():
    held = torch.arange(LARGEST_EXACT + 1)
    assert torch.equal(held.bfloat16().long(), held)
    above = torch.tensor(LARGEST_EXACT + 1)
    assert above.bfloat16().long() != above


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("terms", TOKENS)
@pytest.mark.parametrize("rate", [0.9, 1.0])
def test_counts_of_pairs_are_exact(terms, rate, device):
    a, b = spikes(2, 2, 3, terms, 8, rate=rate, device=device)
    counts = counts_of_pairs(a.mT, b)
    assert torch.equal(counts.double(), a.double().mT @ b.double())
    assert counts.dtype == (torch.bfloat16 if terms <= 256 else torch.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("channels", [8, 64, 300])
def test_attention_is_exact_in_both_orders(tokens, channels, device):
    q, k, v = spikes(3, 1, 2, tokens, channels, device=device)
    expected = q.double() @ (k.double().mT @ v.double())
    for factor in (1.0, 0.125):
        counts = spiking_attention(q, k, v, factor)
        assert counts.dtype == torch.float32
        assert torch.equal(counts.double(), factor * expected)


def test_a_result_in_bfloat16_would_round():
    """Why the second product has a result in float32."""
    q, k, v = spikes(3, 1, 1, 64, 32)
    expected = q.double() @ (k.double().mT @ v.double())
    assert not torch.equal((q @ (k.mT @ v)).double(), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tokens", [64, 300])
def test_gradients_are_those_of_float64_up_to_rounding(tokens, device):
    parts = [part.requires_grad_() for part in spikes(3, 2, 2, tokens, 32, rate=0.3)]
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(2, 2, tokens, 32, generator=generator)
    wide = [part.detach().double().requires_grad_() for part in parts]
    found = [part.to(device) for part in parts]
    spiking_attention(*found, 0.125).backward(grad.to(device))
    spiking_attention(*wide, 0.125).backward(grad.double())
    for ours, exact in zip(parts, wide, strict=True):
        error = (ours.grad.double() - exact.grad).norm() / exact.grad.norm()
        assert error < 2.0**-7  # three roundings of 2^-9


def test_cuda_multiplies_into_float32():
    """Shapes and types of the branch for CUDA, on tensors without memory."""
    with FakeTensorMode():
        q, k, v = (
            torch.empty(2, 3, 64, 32, dtype=torch.bfloat16, device="cuda")
            for _ in range(3)
        )
        out = spiking_attention(q, k, v, 0.125)
    assert (out.dtype, out.shape) == (torch.float32, (2, 3, 64, 32))


def test_operands_of_two_types_are_widened():
    a, b = spikes(1, 5, 4), torch.full((1, 4, 3), 1000.0)
    counts = counts_of_counts(a, b)
    assert torch.equal(counts.double(), a.double() @ b.double())


@pytest.mark.parametrize("binary", [True, False])
def test_integer_neurons_keep_float32(binary, monkeypatch):
    monkeypatch.setattr(attention, "multiplies_bf16", lambda device: True)
    neuron = {} if binary else dict(type="snnssl_mm.MixedILIF", levels=4)
    layer = SpikingSelfAttention(16, 2, neuron, "joint").train()
    products = []
    monkeypatch.setattr(
        WideProduct, "apply", lambda a, b: products.append(a) or a.float() @ b.float()
    )
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.ones(2, 2, 16, 4, 4))
    assert len(products) == binary


@pytest.mark.parametrize("autocast", [True, False])
def test_float32_stays_where_bf16_is_slow(autocast, monkeypatch):
    monkeypatch.setattr(attention, "multiplies_bf16", lambda device: False)
    layer = SpikingSelfAttention(16, 2, {}, "joint")
    half = (
        torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext()
    )
    currents = []
    layer.attention_neuron.register_forward_pre_hook(
        lambda module, inputs: currents.append(inputs[0])
    )
    x = torch.ones(1, 1, 16, 4, 4)
    with half:
        assert layer.product_type(layer.qkv(x)) == torch.float32
        layer(x)
    assert currents[0].dtype == torch.float32


def test_a_cpu_without_onednn_does_not_multiply_bf16(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not multiplies_bf16(torch.device("cpu"))
