"""The transforms by OpenCV draw and compute what mmpretrain's do."""

import cv2
import numpy as np
import pytest
from mmpretrain.datasets import ColorJitter, GaussianBlur, RandomResizedCrop
from PIL import Image

from snnssl_mm.datasets import (
    OpenCVColorJitter,
    OpenCVGaussianBlur,
    OpenCVRandomResizedCrop,
)

JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
SIZES = [(32, 32), (33, 47), (224, 224), (5, 1)]


def picture(height: int = 64, width: int = 48) -> np.ndarray:
    """Smooth colours of all hues with a little noise, BGR."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other.astype(int))


def run(transform, image, seed=0):
    np.random.seed(seed)
    before = image.copy()
    out = transform({"img": image})["img"]
    np.testing.assert_array_equal(image, before)  # out of place
    assert out.dtype == np.uint8
    assert out.shape == image.shape
    return out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", list(JITTER))
@pytest.mark.parametrize("backend", ["pillow", "cv2"])
def test_each_change_of_colour_is_that_of_mmpretrain(name, backend, size):
    """The hue is stored in 8 bits, and colours near grey hardly have one."""
    for value in (0.0, 0.6, 1.0, 1.7) if name != "hue" else (-0.5, -0.1, 0.03, 0.2):
        options = {name: (value, value)}
        ours = run(OpenCVColorJitter(**options), picture(*size))
        theirs = run(ColorJitter(backend=backend, **options), picture(*size))
        apart = difference(ours, theirs)
        assert apart.mean() < (2 if name == "hue" else 1)
        assert apart.max() <= (12 if name == "hue" else 2)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_seed_draws_the_same_jitter_as_in_mmpretrain(seed):
    ours = run(OpenCVColorJitter(**JITTER), picture(), seed)
    theirs = run(ColorJitter(**JITTER), picture(), seed)
    assert difference(ours, theirs).mean() < 2
    np.testing.assert_array_equal(
        ours, run(OpenCVColorJitter(**JITTER), picture(), seed)
    )
    assert difference(ours, picture()).mean() > 4


def test_order_of_channels_is_respected():
    bgr, rgb = (
        run(OpenCVColorJitter(**JITTER, color_format=name), image)
        for name, image in (("bgr", picture()), ("rgb", picture()[..., ::-1]))
    )
    np.testing.assert_array_equal(bgr, rgb[..., ::-1])
    with pytest.raises(ValueError, match="'hsv'"):
        OpenCVColorJitter(color_format="hsv")


def test_without_saturation_it_is_the_grey_of_pillow():
    gray = run(OpenCVColorJitter(saturation=(0, 0)), picture())
    expected = Image.fromarray(picture()[..., ::-1]).convert("L")
    assert difference(gray, np.array(expected)[..., None]).max() <= 1


def test_a_grey_image_stays_grey():
    gray = np.repeat(picture()[..., :1], 3, axis=2)
    for seed in range(8):
        out = run(OpenCVColorJitter(**JITTER), gray, seed)
        assert difference(out, gray).max() > 0
        assert np.ptp(out, axis=2).max() == 0


def test_probability_of_a_change():
    jitter = OpenCVColorJitter(brightness=0.4, prob=0.3)
    image = picture(4, 4)
    changed = [run(jitter, image, seed) is not image for seed in range(500)]
    assert 0.24 < np.mean(changed) < 0.36


@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0])
def test_blur_is_that_of_mmpretrain(sigma, size):
    ours = run(OpenCVGaussianBlur(radius=sigma, prob=1.0), picture(*size))
    theirs = run(GaussianBlur(radius=sigma, prob=1.0), picture(*size))
    assert difference(ours, theirs).mean() < 1.5


def test_blur_draws_as_in_mmpretrain():
    options = dict(prob=0.5, magnitude_range=(0.1, 2.0), magnitude_std="inf")
    image = picture()
    for seed in range(8):
        ours = run(OpenCVGaussianBlur(**options), image, seed)
        theirs = run(GaussianBlur(**options), image, seed)
        assert (ours is image) == (theirs is image)
        assert difference(ours, theirs).mean() < 1.5


def test_blur_is_a_gaussian():
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    profile = run(OpenCVGaussianBlur(radius=2.0, prob=1.0), dot)[20, :, 0]
    distance = np.arange(41) - 20
    expected = 255 / (2 * np.pi * 4) * np.exp(-(distance**2) / 8)
    np.testing.assert_allclose(profile, expected, atol=1)


def detailed(height: int, width: int) -> np.ndarray:
    """Blurred noise: detail of a few pixels, as in a photo."""
    noise = np.random.default_rng(0).normal(0, 1, (height, width, 3))
    image = 128 + 200 * cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "area", "method", "share"),
    [
        ((200, 300), (0.3, 1.0), "bilinear", 0.3),  # shrinks, at least by 3
        ((60, 50), (0.7, 1.0), "bicubic", 0.8),  # shrinks a little
        ((33, 31), (0.1, 0.4), "bilinear", 1.0),  # enlarges
        ((33, 31), (0.1, 0.4), "bicubic", 1.0),
    ],
)
def test_crops_are_closer_to_pillow_than_those_of_opencv_alone(
    size, area, method, share
):
    options = dict(scale=(32, 30), crop_ratio_range=area, interpolation=method)
    pillow = RandomResizedCrop(backend="pillow", **options)
    stock = RandomResizedCrop(backend="cv2", **options)
    ours = OpenCVRandomResizedCrop(**options)
    image = detailed(*size)
    errors = []
    for seed in range(20):
        views = []
        for transform in (pillow, stock, ours):
            np.random.seed(seed)
            out = transform({"img": image})
            assert out["img"].shape == out["img_shape"] == (32, 30, 3)
            views.append(out["img"])
        errors.append([difference(view, views[0]).mean() for view in views[1:]])
    of_stock, of_ours = np.mean(errors, axis=0)
    assert of_ours <= share * of_stock
    assert of_ours < 8
