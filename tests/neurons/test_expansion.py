"""Expanded networks are binary everywhere and compute what integers computed."""

import copy

import numpy as np
import pytest
import torch
from spikingjelly.activation_based.layer import misc
from torch import nn

from snnssl_mm import models
from snnssl_mm.datasets.digit_scenes import iter_digit_scenes
from snnssl_mm.neurons import MixedILIF, MixedNeuron, expand_to_spikes
from snnssl_mm.neurons.expansion import hold_mean, hold_steps, mean_of_steps
from snnssl_mm.testing import randomize_norms

ILIF = dict(type="snnssl_mm.MixedILIF", levels=4)
NETWORKS = {
    "ESpikeFormer": dict(embed_dims=(8, 8, 16, 24), depths=(2, 1)),
    "MetaSpikeFormer": dict(embed_dims=(8, 8, 16, 24), depths=(2, 1)),
    "MaxFormer": dict(embed_dims=32, depths=(1, 1, 2)),
    "SpikeDrivenTransformer": dict(embed_dims=16, depth=2),
    "Spikingformer": dict(embed_dims=16, depth=2, num_heads=2),
}


def integer_network(name, **options):
    torch.manual_seed(0)
    neuron = options.pop("neuron", ILIF)
    model = getattr(models, name)(NETWORKS[name], neuron=neuron, **options)
    return randomize_norms(model.double(), (0.8, 1.8), (0.1, 1.0)).eval()


def recorded(model, x):
    """Maps, and all values that neurons emit."""
    seen = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, out: seen.append(out.unique()))
        for m in model.modules()
        if isinstance(m, MixedNeuron)
    ]
    with torch.no_grad():
        maps = model(x)
    for hook in hooks:
        hook.remove()
    return maps, torch.cat(seen).unique().tolist()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("steps", "clip"), [(1, False), (2, False), (2, True)])
def test_binary_network_has_the_features_of_the_integer_one(name, steps, clip):
    model = integer_network(name, time_steps=steps, out_indices=(0, 1, 2, 3))
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    x = torch.stack([x, x.flip(-1)]) if clip else x
    expected, integers = recorded(model, x)
    assert integers == [0, 0.25, 0.5, 0.75, 1]
    assert expand_to_spikes(model) is model
    found, emitted = recorded(model, x)
    assert emitted == [0, 1]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("channels", [2, 3])
def test_clips_whose_frames_are_folded_into_channels(channels):
    options = dict(time_steps=2, in_channels=channels)
    model = integer_network("ESpikeFormer", **options)
    clip = torch.rand(2, 3, channels, 32, 32, dtype=torch.float64)  # [T, N, C, H, W]
    folded = clip.transpose(0, 1).flatten(1, 2)
    with torch.no_grad():
        (expected,) = model(folded)
        expand_to_spikes(model)
        for x in (folded, clip):
            torch.testing.assert_close(model(x)[0], expected, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match=f"2 x {channels} "):
        model(clip[0].repeat(1, 8, 1, 1))  # T D frames


def test_e_spike_former_on_digit_scenes_is_binary_and_has_the_same_features():
    """float32, in which the integer network runs the fused kernels."""
    scenes = [scene / 255 for scene, _ in iter_digit_scenes("test", 4, size=64)]
    images = torch.tensor(np.stack(scenes))[:, None].expand(-1, 3, -1, -1)
    model = integer_network("ESpikeFormer", out_indices=(0, 1, 2, 3))
    exact, integers = recorded(model, images.double())
    assert integers == [0, 0.25, 0.5, 0.75, 1]
    fused, integers = recorded(copy.deepcopy(model).float(), images.float())
    assert integers == [0, 0.25, 0.5, 0.75, 1]
    found, emitted = recorded(expand_to_spikes(model), images.double())
    assert emitted == [0, 1]
    for ours, theirs, single in zip(found, exact, fused, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        # an integer near a tie may be another one after rounding
        assert ((single - theirs).abs() > 1e-3).float().mean() < 0.05


def test_levels_and_time_steps():
    model = integer_network("ESpikeFormer", neuron={**ILIF, "levels": 8}, time_steps=3)
    expand_to_spikes(model)
    model.time_readout = "none"
    maps = model(torch.rand(1, 3, 32, 32, dtype=torch.float64))
    assert len(maps[0]) == 24


def test_one_neuron_equals_spikingjellys_expansion():
    """A current of one step is held; its n ones are those of SpikeCountToBinary."""
    x = 4 * torch.rand(3, 2, 5, dtype=torch.float64) - 0.5
    counts = 4 * MixedILIF(4)(x)
    theirs = misc.SpikeCountToBinary(4).eval()(counts)
    ours = expand_to_spikes(MixedILIF(4))(x.repeat_interleave(4, dim=0))
    assert torch.equal(ours.sum(0), theirs.sum(0))
    for t in range(3):
        group = slice(4 * t, 4 * t + 4)
        assert torch.equal(ours[group].sum(0), counts[t])


def test_max_pooling_of_binary_steps_is_that_of_integers():
    counts = torch.randint(0, 5, (1, 1, 1, 8, 8)).double()
    steps = expand_to_spikes(MixedILIF(4))(counts.repeat_interleave(4, dim=0))
    pool = nn.MaxPool2d(3, 2, 1)
    assert torch.equal(pool(steps.flatten(0, 1)).sum(0), pool(counts[0])[0])


def test_hold_mean():
    x = torch.arange(8.0).reshape(4, 2)
    assert hold_mean(x, 1) is x
    assert mean_of_steps(x, 2).tolist() == [[1, 2], [5, 6]]
    assert hold_steps(x[:2], 2).tolist() == [*x[:1].tolist() * 2, *x[1:2].tolist() * 2]
    assert hold_mean(x, 2).tolist() == [[1, 2], [1, 2], [5, 6], [5, 6]]


def test_expanded_networks_are_for_inference():
    model = expand_to_spikes(integer_network("ESpikeFormer"))
    with pytest.raises(ValueError, match="inference"):
        copy.deepcopy(model).train()(torch.rand(2, 3, 32, 32, dtype=torch.float64))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Conv2d(1, 1, 1), "no neurons"),
        (nn.Sequential(MixedILIF(4), MixedILIF(8)), "4, 8"),
        (nn.Sequential(MixedILIF(4, normalize=False)), "normalize"),
        (models.SpikingResNet(18, base_channels=4), "MixedLIF"),
        (models.SpikingResNet(18, base_channels=4, neuron=ILIF), "spike_steps"),
    ],
)
def test_what_cannot_be_expanded_is_refused_and_unchanged(network, reason):
    before = str(network)
    with pytest.raises(ValueError, match=reason):
        expand_to_spikes(network)
    assert str(network) == before
