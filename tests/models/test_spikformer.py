"""Spikformer's size, algebra and invariants."""

import pytest
import torch

from snnssl_mm.models import Spikformer
from snnssl_mm.models.attention import spiking_attention
from snnssl_mm.models.spike_products import exact_products
from snnssl_mm.neurons import MixedLIF

# Backbone parameters in millions: Spikformer's ImageNet models without their head, and
# that of CIFAR10-DVS (2-256).
PARAMETERS = {
    "2-256": 2.564,
    "4-384": 9.316,
    "8-384": 16.431,
    "8-512": 29.176,
    "8-768": 65.570,
    "16-512": 54.441,
}
TINY = dict(embed_dims=16, depth=2, num_heads=2)


def tiny(**options):
    torch.manual_seed(0)
    options = {"stem": "cifar", "time_steps": 3, **options}
    return busy(Spikformer(TINY, **options)).eval()


def busy(model):
    """Lower the thresholds, so that an untrained network is not silent."""
    for name, neuron in model.named_modules():
        if isinstance(neuron, MixedLIF) and not name.endswith("attention_neuron"):
            neuron.config = neuron.config._replace(v_threshold=0.3)
    return model


@pytest.mark.parametrize(("arch", "millions"), PARAMETERS.items())
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_parameter_counts(arch, stem, millions):
    with torch.device("meta"):
        model = Spikformer(arch, stem=stem)
    total = sum(p.numel() for p in model.parameters())
    assert round(total / 1e6, 3) == millions


@pytest.mark.parametrize(("channels", "tokens"), [(4, 9), (9, 4)])
def test_both_attention_orders_are_the_same(channels, tokens):
    q, k, v = (torch.rand(3, 2, tokens, channels) < 0.5).double()
    for factor in (1.0, 0.125, 0.3):
        expected = factor * (q @ k.mT @ v)
        assert torch.equal(spiking_attention(q, k, v, factor), expected)


def test_attention_counts_are_exact_under_autocast():
    q, k, v = torch.ones(3, 1, 1, 64, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16), exact_products(q.device):
        counts = [
            spiking_attention(q.to(dtype), k.to(dtype), v.to(dtype))
            for dtype in (torch.bfloat16, torch.float32)
        ]
    for found in counts:
        assert torch.equal(found, torch.full((1, 1, 64, 8), 512.0))


@pytest.mark.parametrize(
    ("stem", "strides"), [("imagenet", (4, 8, 16, 32)), ("cifar", (1, 2, 4, 8))]
)
def test_pyramid_strides_and_channels(stem, strides):
    model = tiny(stem=stem, out_indices=(0, 1, 2, 3))
    maps = model(torch.rand(2, 3, 32, 64))
    for out, stride, channels in zip(maps, strides, (4, 8, 16, 16), strict=True):
        assert out.shape == (2, channels, 32 // stride, 64 // stride)


def test_mean_readout_is_the_mean_of_the_steps():
    image = torch.rand(2, 3, 8, 8)
    steps = tiny(time_readout="none")(image)[0]
    assert steps.shape[0] == 3
    torch.testing.assert_close(tiny()(image)[0], steps.mean(0))


def test_still_image_equals_a_constant_clip():
    """The first convolution runs once for an image, at every step for a clip."""
    model, image = tiny(), torch.rand(2, 3, 8, 8)
    clip = image.expand(3, *image.shape)
    torch.testing.assert_close(model(image)[0], model(clip)[0])


def test_first_convolution_sees_a_still_image_once():
    model, batches = tiny(), []
    for stage in model.stem.stages:
        stage.conv.register_forward_hook(lambda m, i, out: batches.append(len(out)))
    model(torch.rand(2, 3, 8, 8))
    assert batches == [2, 6, 6, 6]  # N, then T N with T = 3


def test_neuron_options_reach_every_neuron_and_attention_keeps_its_threshold():
    model = Spikformer(TINY, neuron=dict(tau=3.0, v_threshold=0.8))
    for name, neuron in model.named_modules():
        if isinstance(neuron, MixedLIF):
            assert neuron.config.tau == 3.0
            expected = 0.5 if name.endswith("attention_neuron") else 0.8
            assert neuron.config.v_threshold == expected


def test_bf16_autocast_runs_and_stays_close():
    model, image = tiny(), torch.rand(4, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(image)[0]
    assert torch.isfinite(half).all()
    assert (half.float() - model(image)[0]).abs().mean() < 0.3


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="time_steps.*0"):
        Spikformer(TINY, time_steps=0)
    with pytest.raises(ValueError, match="'9-1'"):
        Spikformer("9-1")
    with pytest.raises(ValueError, match=r"out_indices.*0\.\.3"):
        Spikformer(TINY, out_indices=(4,))
    with pytest.raises(ValueError, match="10x8.*pad_size_divisor=4"):
        tiny()(torch.rand(1, 3, 10, 8))
    with pytest.raises(ValueError, match="32.*48x48"):
        tiny(stem="imagenet", out_indices=(3,))(torch.rand(1, 3, 48, 48))
    with pytest.raises(ValueError, match="16.*8x8"):
        tiny(stem="imagenet")(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\].*\(1, 1, 8, 8\)"):
        tiny()(torch.rand(1, 1, 8, 8))
