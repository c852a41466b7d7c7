"""Firing rates against plain sums over all spikes; dead and saturated by hand."""

import copy

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from snnssl_mm.analysis.plots.firing_rates_plot import label_of, plot_firing_rates
from snnssl_mm.models import Spikformer
from snnssl_mm.neurons import MixedILIF, MixedLIF, set_path
from snnssl_mm.recording.firing_rates import (
    firing_rates,
    firing_rates_table,
    mean_rate,
)
from snnssl_mm.recording.firing_recorder import FiringRecorder

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)


def spikes(*rows):
    """Input of [T, N, neurons] whose twos fire, as every step is on its own."""
    return 2.0 * torch.tensor(rows, dtype=torch.float32)


def test_dead_and_saturated_neurons_by_hand():
    """Neurons: dead, saturated, silent once, firing once."""
    model = nn.Sequential(MixedLIF(tau=1.0))
    first = spikes([[0, 1, 1, 0], [0, 1, 1, 0]], [[0, 1, 1, 0], [0, 1, 1, 1]])
    second = spikes([[0, 1, 1, 0]], [[0, 1, 0, 0]])
    with FiringRecorder(model) as recorder:
        model(first)
    (layer,) = recorder.layers()
    assert (layer.neurons, layer.dead, layer.saturated) == (4, 1, 2)
    with recorder:
        model(second)
    model(second)  # nobody counts
    (layer,) = recorder.layers()
    assert (layer.neurons, layer.dead, layer.saturated) == (4, 1, 1)
    assert layer.rates == pytest.approx([6 / 12, 6 / 12])
    assert recorder.images() == 3
    assert recorder.totals() == (12, 24)


@pytest.mark.parametrize(("path", "rates"), [("spike", [0.75]), ("dual", [0.5])])
def test_of_two_paths_the_spiking_one_counts(path, rates):
    model = nn.Sequential(MixedLIF(tau=1.0))
    set_path(model, path)
    with FiringRecorder(model) as recorder:
        model(spikes([[1, 0], [1, 1]]))
    assert recorder.layers()[0].rates == rates


def test_nothing_fires_on_the_analog_path():
    model = nn.Sequential(MixedLIF())
    set_path(model, "analog")
    with FiringRecorder(model) as recorder:
        model(spikes([[1, 1]]))
    assert recorder.layers() == []
    assert recorder.images() == 0
    with pytest.raises(ValueError, match=r"\b0\b"):
        recorder.counters["0"].layer("0")


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 7), (3, 5, 2, 4, 6)])
def test_any_shape_and_layout_in_memory(shape):
    x = 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0))
    if len(shape) == 5:
        x = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (3, 5))
    model = nn.Sequential(MixedLIF())
    with FiringRecorder(model) as recorder:
        fired = model(x).bool()
    (layer,) = recorder.layers()
    expected = [step.double().mean().item() for step in fired]
    assert layer.rates == pytest.approx(expected, rel=1e-12)
    assert layer.neurons == fired[0, 0].numel()
    assert layer.dead == (~fired).all(dim=(0, 1)).sum()
    assert layer.saturated == fired.all(dim=(0, 1)).sum()


def test_images_of_several_sizes():
    """Neurons that no image reached are neither dead nor counted."""
    model = nn.Sequential(MixedLIF(tau=1.0))
    wide, tall = torch.zeros(1, 1, 1, 2, 3), torch.full((1, 1, 1, 4, 1), 2.0)
    with FiringRecorder(model) as recorder:
        model(wide)
        model(tall)
    (layer,) = recorder.layers()
    assert (layer.neurons, layer.dead, layer.saturated) == (8, 4, 2)
    assert layer.rates == pytest.approx([4 / 10])


def batches(count=2, size=2):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 3, 64, 64, generator=generator) for _ in range(count)]


def test_network_equals_sums_over_all_its_spikes(backbone):
    found = {
        name: []
        for name, module in backbone.named_modules()
        if isinstance(module, MixedLIF)
    }
    for name, sink in found.items():
        backbone.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, sink=sink: sink.append(output.clone())
        )
    layers = firing_rates(backbone.train(), iter(batches()))
    assert not backbone.training
    assert len(layers) == len(found)
    for layer, outputs in zip(layers, found.values(), strict=True):
        fired = torch.cat(outputs, dim=1).double()
        assert fired.shape[1] == 4
        expected = fired.flatten(1).mean(1).tolist()
        assert layer.rates == pytest.approx(expected, rel=1e-12), layer.name
        per_neuron = fired.mean(dim=(0, 1))
        assert layer.neurons == per_neuron.numel()
        assert layer.dead == (per_neuron == 0).sum()
        assert layer.saturated == (per_neuron == 1).sum()
    assert any(sum(layer.rates) for layer in layers[-3:]), "else this tells nothing"


def test_counting_changes_no_output_and_goes_with_copies(backbone):
    images = batches(1)[0]
    backbone.eval()
    with torch.no_grad():
        plain = backbone(images)
        with FiringRecorder(backbone) as recorder:
            counted = backbone(images)
            copied = copy.deepcopy(backbone)
        copied(images)
    for a, b in zip(plain, counted, strict=True):
        assert torch.equal(a, b)
    assert recorder.images() == 2, "the copy counts for itself"
    assert not any(
        module._forward_hooks
        for module in backbone.modules()
        if isinstance(module, MixedLIF)
    )


def test_batches_do_not_matter(backbone):
    images = torch.cat(batches())
    whole = firing_rates(backbone, [images])
    assert firing_rates(backbone, images.split(1)) == whole


@pytest.mark.parametrize("with_cp", [False, True])
def test_images_count_once_though_activations_are_computed_twice(with_cp):
    torch.manual_seed(0)
    model = Spikformer(ARCH, stem="cifar", time_steps=2, with_cp=with_cp)
    with FiringRecorder(model) as recorder:
        model(torch.randn(3, 3, 16, 16))[0].sum().backward()
    assert recorder.images() == 3


def test_network_without_spikes_and_no_images_are_refused(backbone):
    with pytest.raises(ValueError, match="Conv2d.*MixedLIF"):
        firing_rates(nn.Conv2d(3, 1, 1), [torch.zeros(1, 3, 2, 2)])
    with pytest.raises(ValueError, match="at least 1"):
        firing_rates(backbone, [])


LAYERS = [
    dict(name="stem", rates=[0.5, 0.1], neurons=100, dead=0, saturated=0),
    dict(name="block", rates=[0.25, 0.05], neurons=300, dead=1, saturated=30),
]


def test_mean_is_over_neurons_and_the_table_shows_all():
    assert mean_rate(LAYERS) == pytest.approx((100 * 0.3 + 300 * 0.15) / 400)
    table = firing_rates_table(
        dict(layers=LAYERS, images_used=5, config="configs/selfsup/x.py")
    )
    assert table.rows[1] == ["block", "25.0", "5.0", "15.0", "300", "1", "30"]
    assert "5 unseen images, x; mean of all neurons 18.8" in table.caption


@pytest.mark.parametrize("count", [1, 13])
def test_picture(tmp_path, count):
    file = plot_firing_rates(LAYERS * count, tmp_path / "a" / "rates.png", "x")
    picture = imread(file)[..., :3]
    red = (picture[..., 0] > 0.8) & (picture[..., 1] < 0.45)
    assert red.any(), "the mean line and the ill layer's name"
    assert (picture == 1).all(axis=-1).mean() > 0.4


def test_picture_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="layers"):
        plot_firing_rates([], tmp_path / "rates.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("dead", "text"), [(1000, "\n100 % dead"), (10, "\n1 % dead"), (9, "")]
)
def test_labels_tell_shares_from_one_percent_on(dead, text):
    layer = dict(name="stem", dead=dead, saturated=0, neurons=1000)
    assert label_of(layer) == f"stem{text}"


@pytest.mark.parametrize("normalize", [True, False])
def test_rates_of_integer_neurons_are_per_binary_step(normalize):
    """3 of 4 binary steps fire for a value of 3; a neuron at 4 is saturated."""
    model = nn.Sequential(MixedILIF(4, normalize))
    with FiringRecorder(model) as recorder:
        model(torch.tensor([[[3.0, 4.0, 0.0]]]))
    (layer,) = recorder.layers()
    assert layer.rates == pytest.approx([7 / 12])
    assert (layer.neurons, layer.dead, layer.saturated) == (3, 1, 1)
