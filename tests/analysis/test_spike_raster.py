"""Spike rasters: the same neurons of every image, and their true spikes."""

import numpy as np
import torch
from matplotlib.image import imread

from snnssl_mm.analysis.spike_raster import plot_spike_rasters, spike_rasters
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.recording.spike_recording import layer_name


def test_rasters_are_spikes_of_chosen_neurons(backbone):
    inputs = torch.randn(3, 3, 64, 64)
    found = {}

    def record(name):
        return lambda *call: found.update({name: call[-1].flatten(2)})

    handles = [
        module.register_forward_hook(record(layer_name(name)))
        for name, module in backbone.named_modules()
        if isinstance(module, MixedLIF)
    ]
    with torch.no_grad():
        backbone.eval()(inputs)
    for handle in handles:
        handle.remove()
    rasters = spike_rasters(backbone, inputs, neurons=5)
    assert {raster.name for raster in rasters} == set(found)
    for raster in rasters:
        spikes = found[raster.name]  # [T, N, neurons]
        assert raster.spikes.shape == (5, 3, 3)
        assert raster.total == spikes.shape[-1]
        everything = spikes.permute(2, 1, 0).bool().numpy().reshape(raster.total, -1)
        rows = {row.tobytes() for row in everything}
        assert all(row.tobytes() in rows for row in raster.spikes.reshape(5, -1))


def test_all_neurons_are_drawn_once_if_there_are_few(backbone):
    inputs = torch.randn(2, 3, 64, 64)
    for raster in spike_rasters(backbone, inputs, neurons=10**9):
        assert len(raster.spikes) == raster.total


def test_a_seed_draws_the_same_neurons(backbone):
    inputs = torch.randn(2, 3, 64, 64)
    first, again, other = (spike_rasters(backbone, inputs, 16, s) for s in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        assert np.array_equal(one.spikes, two.spikes)
        assert not np.array_equal(one.spikes, three.spikes) or not one.spikes.any()
    assert any(raster.spikes.any() for raster in first)


def test_picture_marks_spikes_only(backbone, tmp_path):
    rasters = spike_rasters(backbone, torch.randn(2, 3, 64, 64))
    silent = [raster._replace(spikes=raster.spikes & False) for raster in rasters]
    dark = [
        (imread(plot_spike_rasters(shown, tmp_path / "r.png"))[..., :3] == 0).mean()
        for shown in (rasters, silent)
    ]
    assert dark[0] > dark[1] + 0.01
