"""The conformance test of backbones: it names what a broken one breaks."""

import pytest
import torch
from torch import nn

from snnssl_mm.models.backbone import SpikingBackbone
from snnssl_mm.models.layers import ConvNormNeuron, halve
from snnssl_mm.testing import INVARIANTS, check_backbone


class Sound(SpikingBackbone):
    """Keeps every invariant; the classes below break one each."""

    layer_names, channels, stride = (("layer",),), (4,), 2
    threshold = 1.0

    def __init__(self):
        super().__init__(num_maps=1)
        neuron = dict(v_threshold=self.threshold)
        self.layer = ConvNormNeuron(3, 4, 3, False, neuron, "joint")

    def extract_maps(self, x):
        frames, steps = (x[None], self.time_steps) if x.dim() == 4 else (x, len(x))
        return [halve(self.layer(frames, steps))]


class OtherChannels(Sound):
    channels = (5,)


class Silent(Sound):
    threshold = 1e6


class MixedSamples(Sound):
    def extract_maps(self, x):
        return [m.roll(1, dims=1) for m in super().extract_maps(x)]


class Clairvoyant(Sound):
    def extract_maps(self, x):
        return [m.flip(0) for m in super().extract_maps(x)]


class Stateful(Sound):
    calls = 0

    def extract_maps(self, x):
        self.calls += 1
        return [m * self.calls for m in super().extract_maps(x)]


class Analog(Sound):
    def __init__(self):
        super().__init__()
        self.layer.neuron.path = "analog"


class Mean(Sound):
    def extract_maps(self, x):
        return [m / 3 for m in super().extract_maps(x)]


class OfLayout(Sound):
    def forward(self, x):
        return [m * x.is_contiguous() for m in super().forward(x)]


class Taciturn(Sound):
    def _check_input(self, x):
        if x.shape[-1] % self.stride or x.shape[-2] % self.stride:
            raise ValueError("no")


class NotANumber(Sound):
    def extract_maps(self, x):
        gain = 1 if self.layer.neuron.path == "spike" else float("nan")
        return [m * gain for m in super().extract_maps(x)]


class Unused(Sound):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))


class KeepsGraph(Sound):
    def extract_maps(self, x):
        self.last = super().extract_maps(x)
        return self.last


class AlwaysFloat(Sound):
    def forward(self, x):
        return [m.float() for m in super().forward(x)]


BROKEN = [
    (OtherChannels, "map_shapes"),
    (Silent, "activity"),
    (MixedSamples, "batch_independence"),
    (Clairvoyant, "time_causality"),
    (Stateful, "statelessness"),
    (Analog, "binary_spikes"),
    (Mean, "binary_spikes"),
    (OfLayout, "memory_layout"),
    (Taciturn, "image_sizes"),
    (NotANumber, "neuron_paths"),
    (Unused, "gradients_and_copies"),
    (KeepsGraph, "gradients_and_copies"),
    (AlwaysFloat, "floating_point_types"),
]


def test_a_sound_backbone_passes():
    check_backbone(Sound)


@pytest.mark.parametrize(("kind", "invariant"), BROKEN)
def test_a_broken_invariant_is_named(kind, invariant):
    with pytest.raises(AssertionError, match=f"{kind.__name__}.*{invariant}"):
        check_backbone(kind, invariants=[invariant])


def test_each_invariant_can_be_broken():
    assert {invariant for _, invariant in BROKEN} == set(INVARIANTS)


def test_unknown_invariants_are_refused():
    with pytest.raises(KeyError, match="colour"):
        check_backbone(Sound, invariants=["colour"])


def test_global_random_numbers_stay():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check_backbone(Sound, invariants=["statelessness"])
    assert torch.equal(torch.get_rng_state(), before)
