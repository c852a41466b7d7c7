"""Features on the disk: the same numbers, and other files for anything else."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from simulated_recordings import SimulatedRecordings  # noqa: F401  (registers it)
from torch import nn

from snnssl_mm import probing as probes
from snnssl_mm.checkpoints.atomic_files import open_atomically
from snnssl_mm.probing import feature_cache
from snnssl_mm.probing.digests import samples_digest, settings_digest, weights_digest
from snnssl_mm.probing.feature_cache import CachedBackbone

LOADERS = {}  # reading the scenes takes half a second


def cached(cfg, folder, change=None, recalibrate=True):
    """Backbone of a config's random weights; ``change`` may edit the model."""
    model = probes.random_init_model(cfg)
    if change:
        change(model)
    names = ("eval_train_dataloader", "eval_test_dataloader", "max_probe_samples")
    wanted = settings_digest([cfg.get(name) for name in names])
    loaders = LOADERS.get(wanted) or probes.eval_loaders(cfg)
    LOADERS[wanted] = loaders
    return CachedBackbone("random", cfg, model, loaders, folder, recalibrate)


@pytest.mark.parametrize("recalibrate", [True, False])
def test_features_are_those_of_the_uncached_way_and_are_computed_once(
    tiny_config, tmp_path, monkeypatch, recalibrate
):
    cfg = Config.fromfile(tiny_config)
    first = cached(cfg, tmp_path, recalibrate=recalibrate).features()
    expected = probes.labelled_features(
        probes.random_init_model(cfg), probes.eval_loaders(cfg), recalibrate
    )
    for found, wanted in zip(first, expected, strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
    if recalibrate:  # else nothing fires in this network
        assert np.ptp(first.train[0]) > 0

    monkeypatch.setattr(feature_cache, "pooled_features", None)
    monkeypatch.setattr(feature_cache, "recalibrate", None)
    again = cached(cfg, tmp_path, recalibrate=recalibrate)
    np.testing.assert_array_equal(again.features().test[0], first.test[0])
    assert again.feature_seconds() > 0


def test_a_continued_cache_uses_the_statistics_of_its_file(tiny_config, tmp_path):
    """Stopped after the statistics: what comes later must not take the model's own."""
    cfg = Config.fromfile(tiny_config)
    cached(cfg, tmp_path).backbone_file()
    expected = cached(cfg, tmp_path / "whole").features()
    continued = cached(cfg, tmp_path).features()
    np.testing.assert_array_equal(continued.test[0], expected.test[0])


def nudge(model):
    with torch.no_grad():
        model.backbone.stem.stages[0].conv.weight[0, 0, 0, 0] += 1e-6


def other_statistics(model):
    model.backbone.stem.stages[0].bn.running_mean += 1


def test_other_weights_have_other_files(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    digest = cached(cfg, tmp_path).digest
    assert cached(cfg, tmp_path).digest == digest
    assert cached(cfg, tmp_path, nudge).digest != digest
    assert cached(cfg, tmp_path, other_statistics).digest != digest


@pytest.mark.parametrize(
    "option",
    [
        {"model.backbone.time_steps": 2},
        {"model.backbone.neuron": dict(v_threshold=0.9)},
        {"data_preprocessor.std": [61.0, 62.0, 62.0]},
        {"max_probe_samples": 16},
        {"eval_train_dataloader.batch_size": 8},
        {"eval_test_dataloader.dataset.pipeline": [dict(type="PackInputs")] * 2},
        {"randomness": dict(seed=3)},
    ],
    ids=lambda option: next(iter(option)),
)
def test_other_settings_have_other_files(tiny_config, tmp_path, option):
    cfg = Config.fromfile(tiny_config)
    digest = cached(cfg, tmp_path).digest
    cfg.merge_from_dict(option)
    assert cached(cfg, tmp_path).digest != digest


def test_what_does_not_decide_features_keeps_the_files(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    digest = cached(cfg, tmp_path).digest
    cfg.merge_from_dict(
        {
            "train_cfg.max_epochs": 7,
            "model.backbone.init_cfg": None,
            "eval_train_dataloader.num_workers": 1,
        }
    )
    assert cached(cfg, tmp_path).digest == digest
    assert cached(cfg, tmp_path, recalibrate=False).digest != digest


def folder_dataset(root, labels="ab"):
    init_default_scope("mmpretrain")
    for index, label in enumerate(labels):
        file = root / label / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            cv2.imwrite(str(file), np.full((8, 8, 3), index, np.uint8))
    return DATASETS.build(dict(type="snnssl_mm.ImageFolder", data_root=str(root)))


@pytest.mark.parametrize("change", ["x", "t", "p"])
def test_a_changed_event_changes_the_digest_of_recordings(change):
    settings = dict(type="SimulatedRecordings", number=3, serialize_data=False)
    digest = samples_digest(DATASETS.build(settings))
    dataset = DATASETS.build(settings)
    assert samples_digest(dataset) == digest
    dataset.data_list[1]["recording"].events[change][7] ^= 1
    assert samples_digest(dataset) != digest


@pytest.mark.parametrize("key", ["recording_path", "time_range"])
def test_parts_and_files_of_recordings_have_their_own_digest(key):
    class Parts(list):
        get_data_info = list.__getitem__

    info = dict(recording_path="a.aedat", time_range=(0, 9), gt_label=0)
    other = {"recording_path": "b.aedat", "time_range": (9, 20)}[key]
    digest = samples_digest(Parts([info]))
    assert samples_digest(Parts([dict(info)])) == digest
    assert samples_digest(Parts([{**info, key: other}])) != digest


def test_a_changed_file_or_label_changes_the_digest_of_images(tmp_path):
    root = tmp_path / "images"
    digest = samples_digest(folder_dataset(root))
    assert samples_digest(folder_dataset(root)) == digest
    cv2.imwrite(str(root / "a" / "0.png"), np.full((9, 9, 3), 200, np.uint8))
    changed = samples_digest(folder_dataset(root))
    assert changed != digest
    (root / "a" / "0.png").rename(root / "b" / "0.png")
    (root / "a" / "2.png").write_bytes((root / "b" / "0.png").read_bytes())
    assert samples_digest(folder_dataset(root)) not in (digest, changed)


def test_digests_ignore_the_order_of_keys_only():
    assert settings_digest(dict(a=1, b=[1, 2])) == settings_digest(dict(b=[1, 2], a=1))
    assert settings_digest(dict(a=1, b=[1, 2])) != settings_digest(dict(a=1, b=[2, 1]))
    layer = nn.Linear(2, 2)
    digest = weights_digest(layer)
    half = weights_digest(layer.bfloat16())  # NumPy has no such type
    assert half != digest


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "file.bin"

    def stop():
        with open_atomically(file) as part:
            part.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert not list(file.parent.iterdir())
    with open_atomically(file) as part:
        part.write(b"all")
    assert file.read_bytes() == b"all"


def test_shape_is_that_of_one_image_or_clip(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    backbone = cached(cfg, tmp_path)
    assert backbone.shape == (2, 16)
    images = backbone.model.data_preprocessor.forward
    backbone = cached(cfg, tmp_path)
    backbone.model.data_preprocessor.forward = lambda batch, training: {
        "inputs": images(batch, training)["inputs"].expand(3, -1, -1, -1, -1)
    }
    assert backbone.first_inputs.shape == (3, 1, 3, 16, 16)
    assert backbone.shape == (2, 16)


def test_backbones_whose_layers_have_no_depth_are_refused_by_training_probes(
    tiny_config, tmp_path
):
    def other_backbone(model):
        model.backbone = nn.Conv2d(3, 8, 1)

    with pytest.raises(ValueError, match="Conv2d"):
        _ = cached(Config.fromfile(tiny_config), tmp_path, other_backbone).shape
