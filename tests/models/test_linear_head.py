"""The linear probe's head: what SGD reaches is what the offline probe reaches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from sklearn.preprocessing import StandardScaler

from snnssl_mm.probing.features import LabelledFeatures
from snnssl_mm.probing.frozen_probes import linear_accuracy

FOLDER = Path(__file__).parents[2] / "configs/classification"
CONFIGS = sorted(FOLDER.glob("*linear*"))
CLASSES, CHANNELS = 5, 24


@pytest.fixture(scope="module")
def features():
    """Overlapping classes; dimensions' means and scales differ a thousandfold."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, CHANNELS))
    scale, shift = np.exp(rng.uniform(-1, 6, (2, CHANNELS)))

    def split(count):
        labels = rng.integers(0, CLASSES, count)
        noise = 2.5 * rng.normal(size=(count, CHANNELS))
        values = ((centres[labels] + noise) * scale + shift).astype(np.float32)
        return values, labels

    return LabelledFeatures(split(2000), split(1000))


def accuracy_by_sgd(cfg, features, epochs=20):
    """Train the config's head on features by its optimizer and cosine."""
    init_default_scope("mmpretrain")
    head = cfg.model.head
    torch.manual_seed(0)
    head = MODELS.build({**head, "num_classes": CLASSES, "in_channels": CHANNELS})
    head.init_weights()
    wrapper = build_optim_wrapper(head, cfg.optim_wrapper)
    rate = wrapper.param_groups[0]["lr"]
    values, labels = map(torch.from_numpy, features.train)
    for epoch in range(epochs):
        wrapper.param_groups[0]["lr"] = rate * (1 + np.cos(np.pi * epoch / epochs)) / 2
        for batch in torch.randperm(len(values)).split(250):
            loss = head.loss_module(head((values[batch],)), labels[batch])
            wrapper.update_params(loss)
    head.eval()
    scores = head((torch.from_numpy(features.test[0]),))
    return float((scores.argmax(1).numpy() == features.test[1]).mean())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_linear_config_standardises(file):
    head = Config.fromfile(file).model.head
    assert head.type == "snnssl_mm.NormalizedLinearClsHead"


def test_config_agrees_with_the_offline_probe_whatever_the_scale(features):
    cfg = Config.fromfile(FOLDER / "spikformer_linear_digits.py")
    expected = linear_accuracy(features)
    assert 0.5 < expected < 0.95
    assert abs(accuracy_by_sgd(cfg, features) - expected) <= 0.01
    cfg.model.head.type = "LinearClsHead"
    assert accuracy_by_sgd(cfg, features) < expected - 0.04, "so it is needed"


def test_statistics_are_those_of_all_batches():
    head = MODELS.build(
        dict(type="snnssl_mm.NormalizedLinearClsHead", num_classes=2, in_channels=3)
    )
    values = torch.randn(400, 3) * torch.tensor([1.0, 30.0, 0.1]) + 5
    for batch in values.split(100):
        head.pre_logits((batch,))
    head.eval()
    found = head.pre_logits((values,)).numpy()
    expected = StandardScaler().fit_transform(values.numpy())
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert {name for name, _ in head.named_parameters()} == {"fc.weight", "fc.bias"}
