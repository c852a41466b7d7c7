from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from mmengine.runner import Runner

from snnssl_mm.datasets import PhotometricFrames, RandomAffineScene

CONFIGS = Path(__file__).parents[2] / "configs" / "_base_" / "datasets"


@pytest.fixture
def mmpretrain_scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


@pytest.fixture
def config(tmp_path, mmpretrain_scope):
    config = Config.fromfile(CONFIGS / "digit_scenes.py")
    for name in ("train", "eval_train", "eval_test"):
        changes = {
            "data_root": str(tmp_path / "scenes"),
            "num_train": 64,
            "num_test": 32,
        }
        config[f"{name}_dataloader"].dataset.update(changes)
    return config


def blob(x: int, y: int, size: int = 32) -> np.ndarray:
    image = np.zeros((size, size, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 200
    return image


def centroid(image: np.ndarray) -> np.ndarray:
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 0].astype(float)
    return np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()


def test_identity_settings_change_nothing():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    still = RandomAffineScene(0, (1, 1), 0, (1, 1), 0)
    np.testing.assert_array_equal(still({"img": image})["img"], image)


def test_affine_moves_within_its_ranges_and_out_of_place():
    image = blob(16, 16)
    before = image.copy()
    move = RandomAffineScene(shift=0.15, contrast=(1, 1), noise=0)
    offsets = np.array(
        [centroid(move({"img": image})["img"]) - (16, 16) for _ in range(200)]
    )
    # A blob half a pixel off the centre moves a little when it is turned and scaled.
    assert np.abs(offsets).max() < 0.15 * 32 + 0.5
    assert np.abs(offsets).max(axis=0).min() > 0.1 * 32
    np.testing.assert_array_equal(image, before)


def test_scale_range_is_checked():
    with pytest.raises(ValueError, match="scale"):
        RandomAffineScene(scale=(0, 1))


def test_views_differ_but_show_the_same_scene(config):
    dataset = DATASETS.build(config.train_dataloader.dataset)
    original = dataset.get_data_info(3)
    sample = dataset[3]
    first, second = sample["inputs"]
    assert first.dtype == torch.uint8
    assert first.shape == second.shape == (3, 16, 16)
    assert not torch.equal(first, second)
    assert sample["data_samples"].gt_label.item() == original["gt_label"]
    # With the randomness off, both views are the scene.
    off = {"rotation": 0, "scale": (1, 1), "shift": 0, "contrast": (1, 1), "noise": 0}
    config.train_dataloader.dataset.pipeline[0].transforms[0][0].update(off)
    for view in DATASETS.build(config.train_dataloader.dataset)[3]["inputs"]:
        np.testing.assert_array_equal(view.permute(1, 2, 0), original["img"])


def test_evaluation_is_deterministic_and_labelled(config):
    for name in ("eval_train_dataloader", "eval_test_dataloader"):
        first, second = (
            list(Runner.build_dataloader(config[name], seed=seed)) for seed in (0, 1)
        )
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a["inputs"], b["inputs"])
            assert all("gt_label" in sample for sample in a["data_samples"])


def test_workers_draw_different_augmentations(config):
    """Eight times the same scene from two workers gives sixteen different views."""
    loader = config.train_dataloader
    loader.update(batch_size=1, num_workers=2, persistent_workers=False)
    loader.dataset.indices = [5] * 8
    views = [
        view.numpy().tobytes()
        for batch in Runner.build_dataloader(loader, seed=0)
        for view in batch["inputs"]
    ]
    assert len(views) == len(set(views)) == 16


def test_frames_have_their_own_light():
    image = np.random.default_rng(0).integers(64, 192, (8, 8, 3), np.uint8)
    frames = PhotometricFrames(time_steps=3)({"img": image})["img"]
    assert frames.shape == (3, 3, 8, 8)
    assert frames.dtype == np.uint8
    flat = frames.reshape(3, -1).astype(float)
    assert np.corrcoef(flat).min() > 0.999
    assert len({frame.tobytes() for frame in flat}) == 3
    off = PhotometricFrames(3, brightness=0, contrast=0)({"img": image})["img"]
    assert (off == image.transpose(2, 0, 1)).all()


@pytest.mark.parametrize(
    ("name", "size"),
    [("digit_scenes", 16), ("cifar10_32", 32), ("imagenet_224", 224)],
)
def test_configured_views_have_the_recipe_size(name, size, mmpretrain_scope):
    config = Config.fromfile(CONFIGS / f"{name}.py")
    multi_view = next(
        transform
        for transform in config.train_dataloader.dataset.pipeline
        if transform.type == "MultiView"
    )
    shape = (16, 16, 3) if size == 16 else (40, 60, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    views = TRANSFORMS.build(multi_view)({"img": image})["img"]
    assert [view.shape for view in views] == 2 * [(size, size, 3)]
    assert not np.array_equal(*views)


RECIPES = ["cifar10_32", "image_folder_32", "imagenet_224", "image_folder"]


@pytest.mark.parametrize("name", RECIPES)
def test_order_of_channels_is_the_same_for_colours_and_normalisation(name):
    config = Config.fromfile(CONFIGS / f"{name}.py")
    pipeline = config.train_dataloader.dataset.pipeline
    views = next(step for step in pipeline if step.type == "MultiView").transforms
    orders = {
        step.get("color_format", "bgr")
        for view in views
        for step in view
        if step.type == "snnssl_mm.OpenCVColorJitter"
    }
    assert orders == {"bgr" if config.data_preprocessor.to_rgb else "rgb"}


@pytest.mark.parametrize("name", RECIPES)
def test_views_depend_on_the_seed_of_numpy_only(name, mmpretrain_scope):
    config = Config.fromfile(CONFIGS / f"{name}.py")
    pipeline = config.train_dataloader.dataset.pipeline
    two_views = TRANSFORMS.build(next(s for s in pipeline if s.type == "MultiView"))
    image = np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)
    drawn = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        drawn.append(np.stack([two_views({"img": image})["img"] for _ in range(4)]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
