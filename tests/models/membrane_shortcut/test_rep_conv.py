"""RepConv: its border in training, its fold for inference."""

import pytest
import torch
from torch import nn

from snnssl_mm.models import MetaSpikeFormer
from snnssl_mm.models.membrane_shortcut.rep_conv import (
    RepConv,
    RepConvNorm,
    RepConvNormNeuron,
)
from snnssl_mm.testing import randomize_norms

CHANNELS, STEPS, SAMPLES = 6, 2, 3


def lively(module):
    return randomize_norms(module.double(), weight=(0.5, 2.0), bias=(-1.0, 1.0))


def spikes(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (STEPS, SAMPLES, CHANNELS, 5, 7)
    return (torch.rand(shape, generator=generator) < 0.4).double()


@pytest.mark.parametrize("parts", [1, 3])
@torch.no_grad()
def test_fold_is_one_convolution_with_zero_padding(parts):
    torch.manual_seed(0)
    layer = lively(RepConv(CHANNELS, parts, "joint")).eval()
    conv = layer.folded()
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.shape == (parts * CHANNELS, CHANNELS, 3, 3)
    x = spikes()
    expected = conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_parts_are_layers_of_their_own():
    torch.manual_seed(0)
    layer = lively(RepConv(CHANNELS, 3, "joint")).eval()
    found = layer(spikes()).chunk(3, dim=2)
    for part, expected in enumerate(found):
        single = RepConv(CHANNELS, 1, "joint").double().eval()
        state = {
            name: tensor.chunk(3)[part] if tensor.dim() else tensor
            for name, tensor in layer.state_dict().items()
        }
        single.load_state_dict(state)
        torch.testing.assert_close(single(spikes()), expected, rtol=0, atol=1e-12)


def test_border_in_training_has_running_statistics_and_no_gradient():
    """Against a map whose border is written value by value."""
    torch.manual_seed(0)
    layer = lively(RepConv(CHANNELS, 1, "joint")).train()
    twin = lively(RepConv(CHANNELS, 1, "joint")).train()
    twin.load_state_dict(layer.state_dict())
    x = spikes().requires_grad_()
    out = layer(x)
    y = twin.expand_bn(twin.expand(x.flatten(0, 1)))
    norm = twin.expand_bn
    border = norm.bias - norm.running_mean * norm.weight / torch.sqrt(
        norm.running_var + norm.eps
    )
    rows = [border.detach()[None, :, None].expand(len(y), -1, y.shape[-1])] * 2
    tall = torch.cat([rows[0][:, :, None], y, rows[1][:, :, None]], dim=2)
    side = border.detach()[None, :, None, None].expand(len(y), -1, tall.shape[2], 1)
    framed = torch.cat([side, tall, side], dim=3)
    expected = twin.reduce_bn(twin.reduce(twin.depthwise(framed)))
    torch.testing.assert_close(out.flatten(0, 1), expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    (out.flatten(0, 1) * weight).sum().backward()
    (expected * weight).sum().backward()
    for ours, theirs in zip(layer.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_folded_layers_keep_type_and_mode(dtype):
    torch.manual_seed(0)
    layers = nn.ModuleList(
        [RepConvNorm(4, "joint"), RepConvNormNeuron(4, 3, {}, "joint")]
    )
    layers = randomize_norms(layers).to(dtype).eval()
    x = torch.rand(2, 2, 4, 6, 6, dtype=dtype)
    before = layers[0](x)
    for layer in layers:
        layer.switch_to_deploy()
        layer.switch_to_deploy()  # nothing more to fold
        assert layer.conv.weight.dtype == dtype
        assert not layer.conv.training
    torch.testing.assert_close(layers[0](x), before, rtol=1e-4, atol=1e-5)
    assert layers[1](x).unique().tolist() == [0, 1]


def test_folded_network_has_fewer_layers_and_more_weights():
    model = MetaSpikeFormer(dict(embed_dims=(8, 8, 16, 16), depths=(1, 1)))
    convs = sum(isinstance(m, nn.Conv2d) for m in model.modules())
    model.switch_to_deploy()
    assert convs - sum(isinstance(m, nn.Conv2d) for m in model.modules()) == 2 * 2 * 2
    assert not any(isinstance(m, RepConv) for m in model.modules())
