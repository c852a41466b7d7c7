"""Feature maps and spike maps: what is drawn is what the network did."""

import cv2
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from snnssl_mm.analysis.feature_maps import (
    feature_maps,
    most_varying_channels,
    plot_feature_maps,
)
from snnssl_mm.analysis.images import read_network_image
from snnssl_mm.analysis.spike_maps import plot_spike_maps, spike_maps
from snnssl_mm.neurons import MixedLIF, set_path
from snnssl_mm.recording.spike_recording import layer_name

SETTINGS = dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0], to_rgb=True)


def test_image_is_normalised_and_padded(tmp_path):
    file = str(tmp_path / "blue.png")
    cv2.imwrite(file, np.full((3, 5, 3), (90, 60, 40), np.uint8))  # BGR
    image = read_network_image(file, SETTINGS, divisor=4)
    assert image.picture.shape == (3, 5, 3)
    assert image.picture[0, 0].tolist() == [40, 60, 90]
    assert image.inputs.shape == (1, 3, 4, 8)
    expected = [(40 - 10) / 1, (60 - 20) / 2, (90 - 30) / 4]
    assert image.inputs[0, :, 2, 4].tolist() == expected
    assert (image.inputs[..., 3, :] == 0).all()
    assert (image.inputs[..., 5:] == 0).all()
    as_stored = read_network_image(file, {**SETTINGS, "to_rgb": False})
    assert as_stored.inputs[0, 0, 0, 0] == (90 - 10) / 1


def test_large_image_is_reduced(tmp_path):
    file = str(tmp_path / "large.png")
    cv2.imwrite(file, np.zeros((60, 120, 3), np.uint8))
    assert read_network_image(file, {}, max_size=40).picture.shape == (20, 40, 3)


def test_file_that_is_no_image(tmp_path):
    file = tmp_path / "notes.png"
    file.write_text("no picture")
    with pytest.raises(ValueError, match="notes.png"):
        read_network_image(str(file), {})


def test_feature_maps_are_the_outputs_without_the_padding(backbone, image):
    levels = feature_maps(backbone, image)
    with torch.no_grad():
        outputs = backbone(image.inputs)
    for level, output in zip(levels, outputs, strict=True):
        rows, columns = level.shape[-2:]
        np.testing.assert_array_equal(level, output[0, :, :rows, :columns])
    assert [level.shape[1:] for level in levels] == [(10, 14), (5, 7), (2, 4), (1, 2)]


def test_time_axis_of_a_pretraining_backbone_is_averaged(backbone, image):
    averaged = feature_maps(backbone, image)
    backbone.time_readout = "none"
    for a, b in zip(averaged, feature_maps(backbone, image), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_liveliest_channels_vary_most():
    level = np.stack([np.eye(4) * scale for scale in (1, 3, 0, 2)])
    assert most_varying_channels(level, 3).tolist() == [1, 3, 0]


def test_spike_maps_hold_every_neuron_in_order(backbone, image):
    layers = spike_maps(backbone, image)
    neurons = [n for n, m in backbone.named_modules() if isinstance(m, MixedLIF)]
    assert sorted(layer.name for layer in layers) == sorted(map(layer_name, neurons))
    assert [layer.name for layer in layers][:5] == [
        *(f"stem.stages.{i}" for i in range(4)),
        "stem.position",
    ]
    names = [layer.name for layer in layers]
    assert names.index("blocks.0.attention") < names.index("blocks.0.mlp.0")
    for layer in layers:
        assert layer.maps.shape[0] == len(layer.rates) == 3
        counts = layer.maps * layer.channels
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)
        assert 0 <= layer.maps.min() <= layer.maps.max() <= 1
    assert any(layer.rates.mean() > 0.05 for layer in layers)


def test_spike_maps_are_the_spikes(backbone, image):
    (layer,) = spike_maps(backbone, image, "position")
    with torch.no_grad():
        before = backbone.stem(image.inputs, 3)[1]  # the map before the last stage
        spikes = backbone.stem.position(backbone.stem.stages[3](before, 3))[:, 0]
    np.testing.assert_allclose(layer.rates, spikes.mean(dim=(1, 2, 3)), atol=1e-6)
    rows, columns = layer.maps.shape[-2:]
    expected = spikes.mean(1)[:, :rows, :columns]
    np.testing.assert_allclose(layer.maps, expected, atol=1e-6)


def test_spike_maps_spike_whatever_the_path_was(backbone, image):
    expected = spike_maps(backbone, image)
    set_path(backbone.train(), "dual")
    for a, b in zip(expected, spike_maps(backbone, image), strict=True):
        np.testing.assert_array_equal(a.maps, b.maps)


def test_layers_that_do_not_exist(backbone, image):
    with pytest.raises(ValueError, match="'conv9'"):
        spike_maps(backbone, image, "conv9")
    with pytest.raises(ValueError, match="Conv2d.*MixedLIF"):
        spike_maps(torch.nn.Conv2d(3, 3, 1), image)


def test_pictures_are_drawn(backbone, image, tmp_path):
    features = plot_feature_maps(
        feature_maps(backbone, image), image.picture, tmp_path / "a" / "features.png"
    )
    spikes = plot_spike_maps(
        spike_maps(backbone, image, "stem"), image.picture, tmp_path / "spikes.png"
    )
    for file in (features, spikes):
        drawn = imread(file)[..., :3]
        assert (drawn == 1).all(axis=-1).mean() > 0.1, "a white page"
        coloured = np.ptp(drawn, axis=-1) > 0.2
        assert coloured.mean() > 0.1, "with coloured maps"
