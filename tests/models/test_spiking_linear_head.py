"""Classifier of spiking transformers: against its formula, trained by mmpretrain."""

import pytest
import torch
from mmpretrain.structures import DataSample

from snnssl_mm.models import SpikingLinearClsHead
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.registry import MODELS

LIF = dict(tau=2.0, decay_input=True)


def maps(channels=6):
    generator = torch.Generator().manual_seed(0)
    scale = torch.linspace(0.2, 4, channels)[:, None, None]
    return scale * torch.rand(3, 2, channels, 4, 5, generator=generator)


@pytest.mark.parametrize("neuron", [None, {}, LIF])
@pytest.mark.parametrize("distilled", [False, True])
@torch.no_grad()
def test_logits_are_the_mean_of_each_step(neuron, distilled):
    head = SpikingLinearClsHead(3, 6, neuron, distilled)
    x = maps().mean((-2, -1))
    if neuron is not None:
        x = MixedLIF(**neuron)(x)
        assert 0 < x.mean() < 1
    layers = [head.fc, head.fc_kd] if distilled else [head.fc]
    expected = torch.stack([layer(x).mean(0) for layer in layers]).mean(0)
    torch.testing.assert_close(head((None, maps())), expected)


def test_maps_without_time_are_refused():
    with pytest.raises(ValueError, match="time_readout"):
        SpikingLinearClsHead(3, 6)((maps().mean(0),))


def test_classifier_of_mmpretrain_trains_both_layers():
    model = MODELS.build(
        dict(
            type="mmpretrain.ImageClassifier",
            backbone=dict(
                type="snnssl_mm.MaxFormer",
                arch=dict(embed_dims=16, depths=(1, 1, 1)),
                time_steps=2,
                time_readout="none",
            ),
            head=dict(
                type="snnssl_mm.SpikingLinearClsHead",
                num_classes=3,
                in_channels=16,
                distilled=True,
            ),
        )
    ).train()
    samples = [DataSample().set_gt_label(label) for label in (0, 2)]
    model.loss(torch.rand(2, 3, 32, 32), samples)["loss"].backward()
    for layer in (model.head.fc, model.head.fc_kd):
        assert layer.weight.grad.abs().sum() > 0
    predicted = model.eval().predict(torch.rand(2, 3, 32, 32), samples)
    assert all(sample.pred_score.shape == (3,) for sample in predicted)
