"""What a notebook uses: names, features and spikes."""

import io
import re
from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from snnssl_mm import apis
from snnssl_mm.checkpoints import zoo
from snnssl_mm.checkpoints.loading import read_checkpoint
from snnssl_mm.datasets.image_inputs import read_images
from snnssl_mm.datasets.loading import BACKGROUND
from snnssl_mm.models import SpikingResNet
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.probing import probe_models

NAME = "spikformer-digits_ctl"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model():
    return apis.load_model(NAME)


@pytest.fixture(scope="module")
def images():
    """RGB images of several sizes."""
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (20, 31), (64, 48)]
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def test_mmpretrain_lists_and_builds_our_models():
    names = mmpretrain.list_models("*ctl*")
    assert NAME in names
    assert "spiking-resnet-34_ctl_in1k" in names
    assert "resnet50_8xb32_in1k" in mmpretrain.list_models("resnet50*")
    model = mmpretrain.get_model(
        "spiking-resnet-18_linear_cifar10", backbone=dict(init_cfg=None, time_steps=2)
    )
    assert isinstance(model.backbone, SpikingResNet)
    assert model.backbone.time_steps == 2


def test_mmpretrains_extractor_takes_our_names(model, images, tmp_path):
    for index, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{index}.png"), image[..., ::-1])
    extractor = mmpretrain.FeatureExtractor(NAME)
    maps = extractor(str(tmp_path / "1.png"))[0][-1]
    expected = apis.extract_features(model, images[1])[0]
    np.testing.assert_allclose(maps.mean((1, 2)).numpy(), expected, rtol=1e-6)


def test_classification_inferencer_takes_our_names(images):
    infer = mmpretrain.ImageClassificationInferencer(
        "spikformer-4-384_finetune_cifar10", pretrained=False
    )
    (result,) = infer(images[0])
    assert result["pred_scores"].sum() == pytest.approx(1, abs=1e-5)


def test_arrays_files_and_folders_give_the_same_features(model, images, tmp_path):
    features = apis.extract_features(model, images, batch_size=2)
    assert features.shape == (3, 64)
    assert np.unique(features, axis=0).shape[0] == 3
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for file, image in zip(files, images, strict=True):
        cv2.imwrite(str(file), image[..., ::-1])
    opened = [io.BytesIO(file.read_bytes()) for file in files]
    for others in (files, tmp_path, opened):
        found = apis.extract_features(model, others, batch_size=3)
        np.testing.assert_allclose(found, features, atol=1e-6)
    stacked = apis.extract_features(model, np.stack(images[:1] * 2))
    np.testing.assert_allclose(stacked, features[[0, 0]], atol=1e-6)
    grey = images[0][..., 0]
    colour = np.stack([grey] * 3, axis=-1)
    np.testing.assert_allclose(
        apis.extract_features(model, grey), apis.extract_features(model, colour)
    )


def test_every_kind_of_image_is_taken(model, images):
    rgb = images[1]
    (expected,) = apis.extract_features(model, rgb)
    image = Image.fromarray(rgb)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    deep = rgb.astype(np.uint16) * 257
    kinds = [image, image.convert("RGBA"), tensor, tensor / 255, opaque, deep]
    kinds += [torch.from_numpy(opaque).permute(2, 0, 1), tensor.double() / 255]
    for kind in kinds:
        (found,) = apis.extract_features(model, kind)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    batches = [kinds, iter(kinds), torch.stack([tensor] * 3), [np.stack([rgb] * 2)]]
    for batch in batches:
        found = apis.extract_features(model, batch, batch_size=3)
        np.testing.assert_allclose(found, np.stack([expected] * len(found)), atol=1e-6)


def test_grey_and_transparent_images_follow_the_rules_of_files(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    alpha = np.where(grey > 90, 255, 0).astype(np.uint8)
    rgba = np.dstack([grey, grey, grey, alpha])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    (expected,) = read_images(tmp_path / "a.png")
    assert (expected[alpha == 0] == BACKGROUND[::-1]).all()
    kinds = [
        rgba,
        torch.from_numpy(rgba).permute(2, 0, 1) / 255,
        Image.fromarray(rgba),
        Image.fromarray(rgba).convert("LA"),
        Image.fromarray(rgba).convert("RGBa"),
    ]
    for found in read_images(kinds):
        np.testing.assert_allclose(found.astype(int), expected, atol=1)
    colour = np.stack([grey] * 3, axis=-1)
    for kind in (grey[..., None], torch.from_numpy(grey)[None], Image.fromarray(grey)):
        (found,) = read_images(kind)
        np.testing.assert_array_equal(found, colour)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    np.testing.assert_array_equal(next(read_images(deep)), next(read_images(grey)))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4)),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        torch.zeros(4, 4),
        torch.zeros(5, 4, 3),
        torch.zeros(3, 4, 4, dtype=torch.int64),
        torch.full((3, 4, 4), 200.0),
        torch.full((3, 4, 4), -1.0),
        torch.full((3, 4, 4), torch.nan),
        Image.new("F", (4, 4)),
        7,
        None,
        b"bytes",
        {"img": "a.png"},
        [np.zeros((4, 4, 3), np.uint8), 7],
        [],
    ],
)
def test_anything_else_is_refused_with_a_sentence(image):
    with pytest.raises(ValueError, match=r"got|range"):
        list(read_images(image))


def test_features_are_the_backbones_rates(model):
    """An image of the network's own size, normalised by hand."""
    image = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    inputs = torch.tensor((image - 38.0) / 62.0).permute(2, 0, 1)
    with torch.no_grad():
        (maps,) = model.backbone(inputs[None].float())  # [T, N, C, H, W]
        expected = maps.mean((0, 3, 4))
    np.testing.assert_allclose(
        apis.extract_features(model, image), expected.numpy(), atol=1e-6
    )


def test_colours_are_those_of_training():
    """CIFAR-10 is RGB in memory, files are BGR; a classifier's backbone counts."""
    arch = dict(_delete_=True, embed_dims=384, depth=1, num_heads=2)
    settings = dict(init_cfg=None, frozen_stages=-1, arch=arch)
    model = mmpretrain.get_model("spikformer-4-384_linear_cifar10", backbone=settings)
    rng = np.random.default_rng(1)
    image = (rng.random((32, 32, 3)) * [255, 120, 10]).astype(np.uint8)
    seen = []
    model.backbone.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    features = apis.extract_features(model, [image, np.zeros((50, 40, 3), np.uint8)])
    assert features.shape == (2, 384)
    mean, std = [125.307, 122.961, 113.8575], [51.5865, 50.847, 51.255]
    expected = torch.tensor((image - np.array(mean)) / std).permute(2, 0, 1)
    torch.testing.assert_close(seen[0][0], expected.float())


def test_record_spikes_has_every_neuron_in_the_order_of_firing(model, images):
    spikes = apis.record_spikes(model, images[1])
    neurons = [n for n, m in model.backbone.named_modules() if isinstance(m, MixedLIF)]
    assert sorted(spikes) == sorted(neurons)
    assert next(iter(spikes)) == "stem.stages.0.neuron"
    assert all(s.dtype == torch.bool and len(s) == 4 for s in spikes.values())
    last = spikes["blocks.0.mlp.1.neuron"].float()
    attention = spikes["blocks.0.attention.projection.neuron"].float()
    stem = spikes["stem.position.neuron"].float()
    trunk = torch.nn.functional.max_pool2d(
        spikes["stem.stages.3.neuron"].float(), 3, 2, 1
    )
    total = (trunk + stem + attention + last).mean((0, 2, 3))
    features = apis.extract_features(model, images[1])[0]
    np.testing.assert_allclose(total.numpy(), features, atol=1e-6)
    hooks = [m._forward_hooks for m in model.modules() if isinstance(m, MixedLIF)]
    assert not any(hooks)


def test_paths_and_addresses_name_models_too(images):
    config = ROOT / "configs/selfsup/spikformer_ctl.py"
    expected = apis.extract_features(f"{zoo.SCHEME}{NAME}", images[1])
    by_file = apis.load_model(config, zoo.find_weights(NAME))
    assert np.array_equal(apis.extract_features(by_file, images[1]), expected)
    for wrong in (zoo.find_weights(NAME), config.with_name("none.py"), ROOT):
        with pytest.raises(ValueError, match=re.escape(Path(wrong).name)):
            apis.load_model(wrong, zoo.find_weights(NAME))
    with pytest.raises(ValueError, match=r"batch_size.*\b0"):
        apis.extract_features(NAME, images[1], batch_size=0)
    for network in (None, by_file.backbone):
        with pytest.raises(ValueError, match=type(network).__name__):
            apis.extract_features(network, images[1])


def test_shipped_model_is_not_said_to_see_other_pixels(monkeypatch):
    said = []
    monkeypatch.setattr(probe_models, "print_log", lambda text, **_: said.append(text))
    apis.load_model(NAME)
    assert said == []


def test_given_weights_fit_the_named_model_or_are_refused(tmp_path):
    weights = zoo.find_weights(NAME)
    found = apis.get_model(NAME, pretrained=weights).backbone.state_dict()
    assert torch.equal(
        *(m["stem.position.conv.weight"] for m in (found, weights_of(weights)))
    )
    torch.save({"another.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth"):
        apis.get_model(NAME, pretrained=str(tmp_path / "other.pth"))
    with pytest.raises(ValueError, match=NAME):
        apis.get_model("spikformer-digit_ctl")


def weights_of(file):
    state = read_checkpoint(file)["state_dict"]
    return {name.removeprefix("backbone."): tensor for name, tensor in state.items()}


def test_load_backbone_by_name_by_file_and_with_other_settings(tmp_path):
    by_name = apis.load_backbone(NAME, time_steps=2, out_indices=(1, 2))
    image = torch.rand(1, 3, 16, 16)
    assert [m.shape[1] for m in by_name(image)] == [32, 64]
    file = tmp_path / "backbone.pth"
    torch.save(by_name.state_dict(), file)
    by_file = apis.load_backbone(NAME, str(file), time_steps=2)
    assert torch.equal(by_file(image)[0], by_name(image)[1])
    assert not by_file.training


def test_what_cannot_be_loaded_or_read_is_named(model, tmp_path):
    with pytest.raises(ValueError, match="spikformer-16-512_ctl_in1k"):
        apis.get_model("spikformer-16-512_ctl_in1k", pretrained=True)
    config = ROOT / "configs/selfsup/spikformer_ctl.py"
    with pytest.raises(ValueError, match="load_from"):
        apis.get_model(config, pretrained=True)
    with pytest.raises(ValueError, match="stem='cifar'.*'imagenet'"):
        apis.load_model(NAME, stem="imagenet")
    with pytest.raises(ValueError, match="nothing"):
        apis.load_model("nothing")
    with pytest.raises(ValueError, match=r"uint8.*float64 \[4, 4\]"):
        apis.extract_features(model, np.zeros((4, 4)))
    with pytest.raises(ValueError, match="folder"):
        apis.extract_features(model, [])
    with pytest.raises(ValueError, match="none.png"):
        apis.extract_features(model, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="text.png"):
        apis.extract_features(model, tmp_path / "text.png")
    with pytest.raises(ValueError, match="https://nowhere/a.png"):
        apis.extract_features(model, "https://nowhere/a.png")
    with pytest.raises(ValueError, match="open file"):
        apis.extract_features(model, io.BytesIO(b"no image"))
    with pytest.raises(ValueError, match="got 2"):
        apis.record_spikes(model, [np.zeros((4, 4), np.uint8)] * 2)


def test_a_pretraining_without_labelled_images_prepares_images(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    file = tmp_path / "weights.pth"
    torch.save(probe_models.build_eval_model(cfg).state_dict(), file)
    cfg.eval_train_dataloader = cfg.eval_test_dataloader = None
    cfg.dump(tiny_config)
    with pytest.raises(ValueError, match="eval_test_dataloader"):
        apis.load_model(tiny_config, file)  # it trains on images in memory
    crop = dict(type="RandomResizedCrop", scale=16)
    steps = [dict(type="LoadImageFromFile"), crop, dict(type="PackInputs")]
    cfg.train_dataloader.dataset = dict(type="snnssl_mm.ImageFolder", pipeline=steps)
    cfg.data_preprocessor.to_rgb = True
    cfg.pop("file_loading")
    cfg.dump(tiny_config)
    image = np.full((40, 20, 3), 99, np.uint8)
    found = apis.extract_features(apis.load_model(tiny_config, file), image)
    assert np.isfinite(found).all()
