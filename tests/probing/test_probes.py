"""Probes against closed cases, and fully spiking features."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from snnssl_mm import probing as probes
from snnssl_mm.apis.loaded_models import load_pictured_model
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.probing import LabelledFeatures, probe_models
from snnssl_mm.probing.probe_models import load_probed_model


def clusters(noise, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 8))
    parts = []
    for count in (40, 20):
        labels = np.arange(count) % 4
        points = centres[labels] + noise * rng.normal(size=(count, 8))
        parts.append((points, labels))
    return LabelledFeatures(*parts)


@pytest.mark.parametrize("accuracy", [probes.knn_accuracy, probes.linear_accuracy])
def test_separate_classes_are_found_and_noise_is_not(accuracy):
    assert accuracy(clusters(0.01)) == 1.0
    noise = clusters(0.01)
    shuffled = np.random.default_rng(1).permutation(noise.train[1])
    assert accuracy(LabelledFeatures((noise.train[0], shuffled), noise.test)) < 0.7


def test_knn_weights_are_exponential_in_cosine_similarity():
    """Two far neighbours of class 1 lose against one near neighbour of class 0."""
    angles = np.array([0.1, 0.9, 0.9])
    train = np.stack([np.cos(angles), np.sin(angles)], 1)
    query = np.array([[1.0, 0.0]])
    features = LabelledFeatures((train, np.array([0, 1, 1])), (query, np.array([0])))
    assert probes.knn_accuracy(features, k=3, temperature=0.07) == 1.0
    assert probes.knn_accuracy(features, k=3, temperature=10.0) == 0.0


def test_probe_features_are_fully_spiking_and_leave_the_model_alone(tiny_config):
    cfg = Config.fromfile(tiny_config)
    model = probes.random_init_model(cfg).train()
    seen = []
    for module in model.modules():
        if isinstance(module, MixedLIF):
            module.register_forward_hook(lambda m, i, out: seen.append(out.unique()))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    probes.labelled_features(model, probes.eval_loaders(cfg))
    assert seen
    assert set(torch.cat(seen).tolist()) <= {0.0, 1.0}
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("bn", ["joint", "per_view"])
def test_recalibration_takes_the_statistics_of_the_spiking_path(tiny_config, bn):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.bn = bn
    loaders = probes.eval_loaders(cfg)
    model = probes.random_init_model(cfg)
    probes.recalibrate(model, loaders.train)
    norm = model.backbone.stem.stages[0].bn
    with torch.no_grad():
        images = torch.cat([x for x, _ in probes.prepared_inputs(model, loaders.train)])
        current = model.backbone.stem.stages[0].conv(images)
    torch.testing.assert_close(norm.running_mean, current.mean((0, 2, 3)))
    assert norm.momentum == 0.1
    assert not model.training


def test_recalibration_leaves_frozen_statistics_alone(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.frozen_stages = 0
    model = probes.random_init_model(cfg)
    frozen = model.backbone.stem.stages[0].bn
    frozen.running_mean.fill_(5.0)
    probes.recalibrate(model, probes.eval_loaders(cfg).train)
    assert (frozen.running_mean == 5).all()
    assert model.backbone.blocks[0].mlp[0].bn.num_batches_tracked > 0


def test_large_datasets_are_sampled_evenly(tiny_config):
    cfg = Config.fromfile(tiny_config)
    whole = probes.eval_loaders(cfg).train.dataset
    cfg.max_probe_samples = 16
    loaders = probes.eval_loaders(cfg)
    assert [len(loader.dataset) for loader in loaders] == [16, 16]
    first, last = (loaders.train.dataset.get_data_info(i) for i in (0, 15))
    assert first["img_path"] == whole.get_data_info(0)["img_path"]
    assert last["img_path"] == whole.get_data_info(63)["img_path"]


def test_random_init_keeps_the_global_random_state(tiny_config):
    cfg = Config.fromfile(tiny_config)
    state = torch.get_rng_state()
    first, second = (probes.random_init_model(cfg) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_different_classes_are_refused(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    for split, names in (("train", "abc"), ("test", "ac")):
        for name in names:
            file = tmp_path / split / name / "1.png"
            file.parent.mkdir(parents=True)
            cv2.imwrite(str(file), np.zeros((8, 8, 3), np.uint8))
        cfg[f"eval_{split}_dataloader"].dataset = dict(
            type="ImageFolder", _scope_="snnssl_mm", data_root=str(tmp_path / split)
        )
    with pytest.raises(ValueError, match="training images have b"):
        probes.eval_loaders(cfg)


def test_raw_pixels_are_at_most_32_by_32():
    model = SimpleNamespace(
        data_preprocessor=lambda batch, training: {
            "inputs": batch,
            "data_samples": [SimpleNamespace(gt_label=0)] * len(batch),
        }
    )
    image = torch.rand(2, 3, 64, 16)
    loaders = probes.Loaders([image], [image])
    expected = image.unflatten(2, (32, 2)).mean(3).reshape(2, -1)
    np.testing.assert_allclose(
        probes.raw_pixels(model, loaders).test[0], expected, rtol=1e-5
    )


def test_no_labelled_images_is_said(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.eval_test_dataloader = None
    assert not probes.has_labelled_images(cfg)
    with pytest.raises(ValueError, match="eval_train_dataloader"):
        probes.eval_loaders(cfg)


def test_pixels_that_a_checkpoint_has_not_learnt_from_are_said(
    tiny_config, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(probe_models, "print_log", lambda text, **_: said.append(text))
    cfg = Config.fromfile(tiny_config)
    file = str(tmp_path / "trained.pth")
    state_dict = probes.random_init_model(cfg).state_dict()
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=state_dict), file)
    loads = (load_pictured_model, probe_models.load_trained_model, load_probed_model)
    for load in loads:
        load(cfg, file)
    assert not said
    cfg.data_preprocessor.mean = [0.0, 0.0, 0.0]
    for load in loads:
        load(cfg, file)
        assert "instead of [0.0, 0.0, 0.0]" in said.pop()
