"""The factor in front of the attention neuron: a number, or by tokens and channels."""

from itertools import islice

import numpy as np
import pytest
import torch

from snnssl_mm.checkpoints.stored_config import structural_differences
from snnssl_mm.conversion.convert import convert
from snnssl_mm.datasets.digit_scenes import iter_digit_scenes
from snnssl_mm.models import Spikformer
from snnssl_mm.models.attention import ATTENTION_DRIVE, SpikingSelfAttention
from snnssl_mm.recording.firing_recorder import FiringRecorder

DIGITS = dict(embed_dims=64, depth=1, num_heads=4)
TINY = dict(embed_dims=16, depth=2, num_heads=2)


def scenes(count, size):
    pixels = np.stack([s for s, _ in islice(iter_digit_scenes("train", 64, size), 64)])
    images = torch.tensor((pixels[:count] - 38.0) / 62.0, dtype=torch.float)
    return images[:, None].expand(-1, 3, -1, -1)


def noise_of_photographs(count, size):
    """Images whose amplitude falls with the spatial frequency, as in photographs."""
    frequency = torch.fft.fftfreq(size)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt().clamp(min=1 / size)
    spectrum = torch.fft.fft2(torch.randn(count, 3, size, size)) / radius
    images = torch.fft.ifft2(spectrum).real
    return (images - images.mean()) / images.std()


@torch.no_grad()
def rates(arch, images, **options):
    torch.manual_seed(0)
    model = Spikformer(arch, stem="cifar", **options).train()
    with FiringRecorder(model) as recorder:
        model(images)
    layers = {layer.name: np.mean(layer.rates) for layer in recorder.layers()}
    return [rate for name, rate in layers.items() if name.endswith("attention")]


@pytest.mark.parametrize("size", [16, 48])
def test_digits_network_fires_10_to_30_percent_at_the_start(size):
    (rate,) = rates(DIGITS, scenes(32, size), attention_scale="auto")
    assert 0.1 < rate < 0.3


def test_each_block_of_a_large_network_fires_10_to_30_percent_at_the_start():
    torch.manual_seed(1)
    images = noise_of_photographs(4, 32)
    found = rates("4-384", images, attention_scale="auto")
    assert len(found) == 4
    assert all(0.1 < rate < 0.3 for rate in found)
    assert min(rates("4-384", images)) > 0.5  # why there is such an option


def filled(**options):
    torch.manual_seed(0)
    return Spikformer(TINY, stem="cifar", time_steps=2, **options).train()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24)])
def test_auto_is_a_constant_over_tokens_times_channels(height, width):
    images = 3 * torch.rand(4, 3, height, width)
    factor = ATTENTION_DRIVE / (height * width / 16 * 8)
    (ours,), (expected,) = (
        filled(attention_scale=scale)(images) for scale in ("auto", factor)
    )
    assert torch.equal(ours, expected)
    assert not torch.equal(ours, filled(attention_scale=factor / 64)(images)[0])


def test_default_is_an_eighth_of_the_counts():
    attention = SpikingSelfAttention(16, 2, {}, "joint")
    seen = []
    attention.qkv.register_forward_hook(lambda module, inputs, out: seen.append(out))
    attention.attention_neuron.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    attention(2 * torch.randn(2, 3, 16, 4, 5))
    q, k, v = seen[0].reshape(2, 3, 3, 2, 8, 20).unbind(2)
    counts = torch.einsum("...ci,...cj,...dj->...id", q, k, v)
    assert counts.max() > 1
    assert torch.equal(seen[1], 0.125 * counts)


@pytest.mark.parametrize("scale", [0, -0.125, float("inf"), float("nan"), "big", True])
def test_other_scales_are_refused(scale):
    with pytest.raises(ValueError, match="attention_scale"):
        Spikformer(TINY, attention_scale=scale)


@pytest.mark.parametrize(
    ("stored", "now", "differs"),
    [
        ("", {}, False),
        ("", dict(attention_scale="auto"), True),
        (", attention_scale=0.125", {}, False),
        (", attention_scale='auto'", {}, True),
        (", attention_scale='auto'", dict(attention_scale="auto"), False),
    ],
)
def test_weights_of_another_scale_are_told_apart(stored, now, differs):
    arch = "dict(embed_dims=16, depth=2, num_heads=2)"
    backbone = f"dict(type='Spikformer', arch={arch}{stored})"
    checkpoint = {"meta": {"cfg": f"model = dict(backbone={backbone})"}}
    found = structural_differences(Spikformer(TINY, **now), checkpoint)
    assert [text.partition("=")[0] for text in found] == ["attention_scale"] * differs


def test_conversion_refuses_a_scale_that_their_code_lacks():
    neuron = dict(tau=2.0, v_threshold=1.0, v_reset=0.0, decay_input=True)
    options = dict(arch="4-384", stem="imagenet", neuron=neuron)
    with torch.device("meta"):
        meta = Spikformer(**options).state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in meta.items()}
    stored = dict(type="Spikformer", attention_scale="auto", **options)
    with pytest.raises(ValueError, match="attention_scale is 'auto'"):
        convert(state, target="spikformer-imagenet", stored=stored)
    plain = dict(type="Spikformer", **options)
    assert convert(state, target="spikformer-imagenet", stored=plain).state
