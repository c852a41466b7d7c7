"""Masked backbones: nothing of a hidden patch arrives, and the rest is exact."""

import copy

import pytest
import torch
import torch.nn.functional as F
from small_backbones import BACKBONES, SMALL
from torch import nn

from snnssl_mm.models import PerViewBatchNorm2d, VisiblePatches, only_visible
from snnssl_mm.models.batch_norm import normalize, normalize_and_fire
from snnssl_mm.models.layers import normalize_fire_and_halve
from snnssl_mm.models.membrane_shortcut.rep_conv import RepConv
from snnssl_mm.neurons import MixedLIF, set_path
from snnssl_mm.testing.subject import LIVELY, randomize_norms

ENDING_THERE = ("Spikformer", "SpikingResNet", "Spikingformer", "ESpikeFormer")
"""Those without max-pooling of currents (which meets zeros, not an edge) or RepConv."""


def build(name, train=True, **options):
    torch.manual_seed(0)
    settings = dict(time_steps=2, time_readout="none", **SMALL[name])
    model = BACKBONES[name](**settings | options).double()
    randomize_norms(model, *LIVELY)
    return model.train(train)


def grid(visible):
    """Patches of images, given as rows of 0 and 1."""
    found = torch.tensor(visible).bool()
    return VisiblePatches(found, int(found[0].sum()))


DIAGONALS = [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]


def images_of(model, patches):
    sides = [model.stride * side for side in patches.visible.shape[-2:]]
    return torch.randn(len(patches.visible), 3, *sides, dtype=torch.float64)


def masked(model, images, patches):
    """The last map; running statistics, the border of RepConv, are restored."""
    model = copy.deepcopy(model)
    with only_visible(patches):
        return model(images)[-1]


@pytest.mark.parametrize("path", ["spike", "analog"])
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", BACKBONES)
def test_hidden_pixels_change_nothing(name, train, path):
    model, patches = build(name, train), grid(DIAGONALS)
    set_path(model, path)
    images = images_of(model, patches)
    hidden = patches.positions(*images.shape[-2:]).hidden
    changed = torch.where(hidden, torch.full_like(images, torch.inf), images)
    maps, others = (masked(model, x, patches) for x in (images, changed))
    assert maps.any()
    assert torch.equal(maps, patches.hide(maps))
    assert torch.equal(maps, others)
    if train:  # statistics of the batch let the last layers fire; visible pixels matter
        moved = masked(model, torch.where(hidden, images, -images), patches)
        assert not torch.equal(maps, moved)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_convolution_sees_zeros_at_hidden_positions(name):
    model, patches, seen = build(name), grid(DIAGONALS), []

    def look(conv, inputs):
        hidden = patches.positions(*inputs[0].shape[-2:]).hidden
        frames = inputs[0].unflatten(0, (-1, len(patches.visible)))
        seen.append(bool(frames.masked_select(hidden).any()))

    chains = [m for m in model.modules() if isinstance(m, RepConv)]
    inside = {part for m in chains for part in (m.depthwise, m.reduce)}
    for module in model.modules():  # without a norm between two of them, one layer
        if isinstance(module, nn.Conv2d) and module not in inside:
            module.register_forward_pre_hook(look)
    set_path(model, "analog")
    with only_visible(patches):
        model(images_of(model, patches))
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("name", ENDING_THERE)
def test_hidden_half_is_as_if_the_image_ended_there(name):
    """Also the batch statistics; the crop knows nothing of masks."""
    patches = grid([[[1, 0]], [[1, 0]]])
    model, plain = build(name), build(name)
    images = images_of(model, patches)
    (crop,) = plain(images[..., : model.stride])
    with only_visible(patches):
        maps = model(images)[-1]
    assert crop.any()
    torch.testing.assert_close(maps[..., : crop.shape[-1]], crop)
    for own, other in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("name", BACKBONES)
def test_all_patches_are_the_plain_network(name):
    model, plain = build(name), build(name)
    patches = grid([[[1, 1]], [[1, 1]]])
    images = images_of(model, patches)
    torch.testing.assert_close(masked(model, images, patches), plain(images)[-1])


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, PerViewBatchNorm2d])
def test_statistics_are_those_of_visible_positions(norm):
    norm, patches = norm(3).double(), grid(DIAGONALS)
    x = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64)
    hidden = patches.positions(4, 4).hidden.expand_as(x)
    seen = x.movedim(2, -1)[~hidden.movedim(2, -1)].view(-1, 3)
    with only_visible(patches):
        found = normalize(norm, x)
    expected = F.batch_norm(seen, None, None, norm.weight, norm.bias, training=True)
    order = found.movedim(2, -1)[~hidden.movedim(2, -1)].view(-1, 3)
    torch.testing.assert_close(order, expected)
    assert not found[hidden].any()
    torch.testing.assert_close(norm.running_mean, 0.1 * seen.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * seen.var(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_and_pooling_agree_with_the_reference(dtype):
    """The compiled kernels, which get visible positions only, and the plain ones."""
    patches, results = grid(DIAGONALS), []
    for backend in ("auto", "torch"):
        torch.manual_seed(0)
        norm, neuron = nn.BatchNorm2d(3).to(dtype), MixedLIF(backend=backend)
        x = torch.randn(1, 2, 3, 8, 8, dtype=dtype, requires_grad=True)
        with only_visible(patches):
            fired = normalize_and_fire(norm, neuron, 2 * x, 3)
            halved = normalize_fire_and_halve(norm, neuron, 2 * x, 3)
        (fired.sum() + halved.square().sum()).backward()
        results.append((fired, halved, x.grad))
    assert all(part.any() for part in results[0])
    for auto, plain in zip(*results, strict=True):
        torch.testing.assert_close(auto, plain)


@pytest.mark.parametrize("name", ["Spikformer", "MaxFormer"])
def test_recomputed_activations_see_the_same_patches(name):
    gradients = []
    for with_cp in (False, True):
        model, patches = build(name, with_cp=with_cp), grid(DIAGONALS)
        with only_visible(patches):
            (maps,) = model(images_of(model, patches))
        maps.square().sum().backward()  # outside of the context
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_only_inside_and_the_inner_one_of_two():
    model, patches = build("Spikformer"), grid(DIAGONALS)
    images = images_of(model, patches)
    expected = copy.deepcopy(model)(images)[-1]
    with only_visible(patches):
        inner = masked(model, images, grid([[[1, 1], [1, 1]]] * 2))
        with pytest.raises(ValueError, match="2x2 patches"):
            model(images[..., : model.stride])
    torch.testing.assert_close(inner, expected)
    torch.testing.assert_close(model(images)[-1], expected)
