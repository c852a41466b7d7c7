"""LoadIntactImage gives what Pillow gives, and refuses what Pillow refuses."""

import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from snnssl_mm.datasets import LoadIntactImage


@pytest.fixture
def save(tmp_path):
    def save(name, mode="RGB", **options):
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
        image = Image.fromarray(coarse).resize((61, 43), Image.Resampling.BICUBIC)
        image.convert(mode).save(tmp_path / name, **options)
        return str(tmp_path / name)

    return save


@pytest.fixture
def backends(monkeypatch):
    """Names of the decoders that were called, in order."""
    called = []
    decode = mmcv.imfrombytes

    def record(content, *args, backend, **kwargs):
        called.append(backend)
        return decode(content, *args, backend=backend, **kwargs)

    monkeypatch.setattr(mmcv, "imfrombytes", record)
    return called


TURNED = Image.Exif()
TURNED[0x0112] = 6  # by a quarter
KINDS = {
    "jpeg": (("a.jpg",), {}),
    "subsampled": (("a.jpg",), {"quality": 60, "subsampling": 2}),
    "progressive": (("a.jpg",), {"progressive": True}),
    "grey jpeg": (("a.jpg", "L"), {}),
    "turned": (("a.jpg",), {"exif": TURNED}),
    "png": (("a.png",), {}),
    "grey png": (("a.png", "L"), {}),
    "palette": (("a.png", "P"), {}),
    "webp": (("a.webp",), {"lossless": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_and_shapes_are_those_of_pillow(kind, save, backends):
    args, options = KINDS[kind]
    path = save(*args, **options)
    ours = LoadIntactImage()({"img_path": path})
    assert backends == ["cv2" if args[0].endswith("jpg") else "pillow"]
    theirs = LoadImageFromFile(imdecode_backend="pillow")({"img_path": path})
    # Both decode by libjpeg, of which each brings its own build.
    np.testing.assert_allclose(ours["img"].astype(int), theirs["img"], atol=2)
    assert ours["img"].flags.c_contiguous
    assert ours["img"].shape[2] == 3
    for key in ("img_shape", "ori_shape"):
        assert ours[key] == theirs[key]


def change(path, function):
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(function(content))


@pytest.mark.parametrize("left", [0.5, 0.9])
def test_truncated_files_are_refused(left, save):
    for name in ("a.jpg", "a.png"):
        path = save(name)
        change(path, lambda content: content[: int(left * len(content))])
        with pytest.raises(OSError, match="(?i)truncated"):
            LoadIntactImage()({"img_path": path})


def test_a_jpeg_with_something_behind_its_end_is_fine(save, backends):
    path = save("a.jpg")
    expected = LoadIntactImage()({"img_path": path})["img"]
    change(path, lambda content: content + b"camera data")
    found = LoadIntactImage()({"img_path": path})["img"]
    np.testing.assert_array_equal(found, expected)
    assert backends == ["cv2", "pillow"]


def test_what_is_no_image_is_refused(save):
    path = save("a.jpg")
    change(path, lambda _: b"\xff\xd8 not a JPEG \xff\xd9")
    with pytest.raises(OSError, match="cannot identify"):
        LoadIntactImage()({"img_path": path})
