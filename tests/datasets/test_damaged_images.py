"""Image files of any kind and with any damage: loaded, or refused by name."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import Compose
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from snnssl_mm.checks.samples import Expected, inspect_sample
from snnssl_mm.datasets import ImageFolder
from snnssl_mm.datasets.image_folder import check_image
from snnssl_mm.datasets.loading import LoadIntactImage

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_size(width, height):
    """A PNG whose header says so, and that has next to no data."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


RGB = Image.fromarray(PIXELS)
GOOD = {
    "jpeg": encoded(RGB, "JPEG"),
    "progressive": encoded(RGB, "JPEG", progressive=True),
    "grey.jpeg": encoded(RGB.convert("L"), "JPEG"),
    "cmyk.jpeg": encoded(RGB.convert("CMYK"), "JPEG"),
    "turned.jpeg": encoded(
        RGB, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\b\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    ),
    "png": encoded(RGB, "PNG"),
    "palette.png": encoded(RGB.convert("P"), "PNG"),
    "clear palette.png": encoded(RGB.convert("P"), "PNG", transparency=3),
    "rgba.png": encoded(RGB.convert("RGBA"), "PNG"),
    "grey alpha.png": encoded(RGB.convert("LA"), "PNG"),
    "one bit.png": encoded(RGB.convert("1"), "PNG"),
    "16 bit.png": cv2.imencode(".png", PIXELS[..., 0].astype(np.uint16) * 257)[
        1
    ].tobytes(),
    "16 bit colour.png": cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[
        1
    ].tobytes(),
    "1x1.png": encoded(RGB.resize((1, 1)), "PNG"),
    "1x1.jpeg": encoded(RGB.resize((1, 1)), "JPEG"),
    "gif": encoded(RGB, "GIF"),
    "bmp": encoded(RGB, "BMP"),
    "tiff": encoded(RGB, "TIFF"),
    "webp": encoded(RGB, "WEBP"),
}
BAD = {
    "empty": b"",
    "zeros": bytes(500),
    "text": b"no image",
    "jpeg's start": b"\xff\xd8\xff\xd9",
    "png's start": b"\x89PNG\r\n\x1a\n",
    "cut png": GOOD["png"][:300],
    "cut jpeg": GOOD["jpeg"][:300],
    "huge": png_of_size(2**30, 2**30),
    "large": png_of_size(20000, 20000),
    "float.tiff": encoded(Image.fromarray(np.float32(PIXELS[..., 0] / 255)), "TIFF"),
    "32 bit.tiff": encoded(Image.fromarray(np.int32(PIXELS[..., 0])), "TIFF"),
    "no data": png_of_size(300, 300),
    "no width": png_of_size(0, 9),
    "too wide": png_of_size(2**31 - 1, 1),
}


def outcome(content, folder, name="image.png"):
    """What loading gives for a file that the check lets pass; else None."""
    file = folder / name
    file.write_bytes(content)
    fault = check_image(str(file), decode=True)
    if fault is not None:
        assert fault.startswith(f"{file}: ")
        assert len(fault) > len(f"{file}: ")
        return None
    image = LoadIntactImage().transform({"img_path": str(file)})["img"]
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[-1] == 3
    return image


def check_mask(file):
    """Read as a mask of segmentation: labels, or a sentence."""
    info = dict(img_path=str(file), seg_map_path=str(file), seg_fields=[])
    info |= dict(reduce_zero_label=False, label_map=None)
    load = Compose([LoadIntactImage(), LoadAnnotations()])
    inspect_sample(
        info, load, Expected("train_dataloader.dataset", 3)
    )  # raises nothing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@pytest.mark.parametrize("kind", GOOD)
def test_good_files_load_in_colour_whatever_their_name_says(folder, kind):
    for name in ("image.png", "image.jpg"):
        image = outcome(GOOD[kind], folder, name)
        side = 1 if "1x1" in kind else 20 if kind == "turned.jpeg" else 24
        assert image.shape[0] == side
    exact = {"png", "rgba.png", "16 bit colour.png", "bmp", "tiff"}
    if kind in exact:
        expected = PIXELS if "16 bit" in kind else PIXELS[..., ::-1]
        np.testing.assert_array_equal(image, expected)
    elif side == 24:  # as bright as it is
        grey = cv2.cvtColor(PIXELS, cv2.COLOR_RGB2GRAY).astype(float)
        assert abs(image.mean() - grey.mean()) < 25


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_by_name(folder, kind):
    root = folder / "root"
    root.mkdir(exist_ok=True)
    assert outcome(BAD[kind], root) is None
    check_mask(root / "image.png")
    pipeline = [dict(type="snnssl_mm.LoadIntactImage")]
    options = dict(with_label=False, test_mode=True, pipeline=pipeline)
    with pytest.raises(ValueError, match=str(root / "image.png")):
        ImageFolder(root, verify="decode", **options)
    unchecked = ImageFolder(root, verify=None, **options)
    with pytest.raises(ValueError, match=str(root / "image.png")):
        unchecked[0]


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "palette.png", "webp"])
@given(data=st.data())
def test_damaged_files_are_loaded_or_refused_by_name(folder, kind, data):
    content = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(0, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(len(content) // 2, len(content)))
    outcome(bytes(content[:length]), folder)
    check_mask(folder / "image.png")


@pytest.mark.parametrize("kind", GOOD)
def test_cut_off_anywhere(folder, kind):
    """Never loaded with a part missing (of a GIF's or WebP's end nothing is missed)."""
    content = GOOD[kind]
    for length in range(1, len(content) - 2, max(len(content) // 4, 1)):
        image = outcome(content[:length], folder)
        if image is not None:
            np.testing.assert_array_equal(image, outcome(content, folder))
