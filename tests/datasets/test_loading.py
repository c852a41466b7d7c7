"""Image files become the same 8-bit colours in every way, or are refused."""

import io
from itertools import pairwise

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import DefaultScope
from PIL import Image, UnidentifiedImageError

from snnssl_mm.analysis.images import read_network_image
from snnssl_mm.datasets import ImageFolder, LoadIntactImage
from snnssl_mm.datasets.image_inputs import read_images
from snnssl_mm.datasets.loading import BACKGROUND, DEPTHS, apply_orientation


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
    assert backends == ["cv2"] * args[0].endswith("jpg"), "for a JPEG it is faster"
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
    assert backends == ["cv2"], "for the first one"


def test_what_is_no_image_is_refused(save):
    path = save("a.jpg")
    change(path, lambda _: b"\xff\xd8 not a JPEG \xff\xd9")
    with pytest.raises(UnidentifiedImageError):
        LoadIntactImage()({"img_path": path})


RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 10), np.uint8)
RGB = RNG.integers(0, 256, (12, 10, 3), np.uint8)
HOLE = np.full((12, 10), 255, np.uint8)
HOLE[:6] = 0


def scaled(values, depth):
    return np.rint(values * (255 / (2**depth - 1)))


def deep(channels, depth):
    """Values that use all of a depth, in 16 bits."""
    values = RNG.integers(0, 2**depth, (12, 10, *channels)).astype(np.uint16)
    values[0] = 2**depth - 1
    return values


def written(file, values):
    """Write an array (RGB or RGBA) by OpenCV, which knows 16-bit colours."""
    if values.ndim == 3:
        values = values[..., [2, 1, 0, 3][: values.shape[-1]]]
    assert cv2.imwrite(str(file), values)


def load(file):
    """RGB as training reads it."""
    return LoadIntactImage()({"img_path": str(file)})["img"][..., ::-1]


@pytest.mark.parametrize("depth", DEPTHS[1:])
@pytest.mark.parametrize("suffix", ["png", "tiff", "pnm"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_16_bit_files_keep_the_grey_levels_of_their_depth(
    tmp_path, depth, suffix, channels
):
    values = deep(channels, depth)
    written(tmp_path / f"a.{suffix}", values)
    expected = scaled(values, depth)
    expected = expected if channels else np.stack([expected] * 3, axis=-1)
    np.testing.assert_array_equal(load(tmp_path / f"a.{suffix}"), expected)


def test_8_bit_data_in_a_16_bit_file_stay_as_they_are(tmp_path):
    written(tmp_path / "a.png", GREY.astype(np.uint16))
    np.testing.assert_array_equal(load(tmp_path / "a.png")[..., 0], GREY)


def transparent_images():
    """Colours, two sets of colours below the hole, in each mode that has alpha."""
    for hidden in (0, 255):
        rgb, grey = RGB.copy(), GREY.copy()
        rgb[:6], grey[:6] = hidden, hidden
        deep_rgba = np.dstack([rgb, HOLE]).astype(np.uint16) * 257
        palette = Image.fromarray(rgb).quantize(16)
        # The hole's colour becomes transparent, wherever it occurs.
        index = palette.getpixel((0, 0))
        yield "RGBA.png", Image.fromarray(np.dstack([rgb, HOLE])), {}
        yield "RGBA.webp", Image.fromarray(np.dstack([rgb, HOLE])), {"lossless": True}
        yield "LA.png", Image.fromarray(np.dstack([grey, HOLE]), "LA"), {}
        yield "P.png", palette, {"transparency": index}
        yield "P.gif", palette, {"transparency": index}
        yield "RGB.png", Image.fromarray(rgb), {"transparency": (hidden,) * 3}
        yield "16.png", deep_rgba, {}
        yield "16.tiff", deep_rgba, {}


@pytest.mark.parametrize("name", [n for n, *_ in transparent_images()][:8])
def test_colours_below_transparent_pixels_never_show(tmp_path, name):
    for number, (kind, image, options) in enumerate(transparent_images()):
        if kind != name:
            continue
        file = tmp_path / f"{number}.{kind}"
        if isinstance(image, np.ndarray):
            written(file, image)
        else:
            image.save(file, **options)
        found = load(file)
        assert (found[:6] == BACKGROUND).all()
        if kind[0] != "P":
            visible = RGB if "L" not in kind else np.stack([GREY] * 3, axis=-1)
            np.testing.assert_array_equal(found[6:], visible[6:])


def test_a_transparent_grey_of_16_bits_never_shows(tmp_path):
    values = GREY.astype(np.uint16) * 257
    values[0] = 1234
    Image.fromarray(values).save(tmp_path / "a.png", transparency=1234)
    found = load(tmp_path / "a.png")
    assert (found[0] == BACKGROUND).all()
    np.testing.assert_array_equal(found[1:, :, 0], GREY[1:])


def test_what_is_half_transparent_is_mixed(tmp_path):
    values = np.zeros((2, 2, 4), np.uint8)
    values[..., 3] = 51  # a fifth
    Image.fromarray(values).save(tmp_path / "a.png")
    assert load(tmp_path / "a.png")[0, 0].tolist() == [99, 94, 83]


def test_depth_is_that_of_what_shows(tmp_path):
    values = np.full((4, 4, 4), 1023, np.uint16)
    values[..., 3] = 65535
    values[0] = (65535, 65535, 65535, 0)
    written(tmp_path / "a.png", values)
    assert (load(tmp_path / "a.png")[1:] == 255).all(), "10 bits"


@pytest.mark.parametrize("kind", ["float", "32 bit"])
def test_pixels_without_a_range_are_refused(tmp_path, kind):
    values = GREY.astype(np.float32 if kind == "float" else np.int32)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="floating-point|32-bit"):
        load(tmp_path / "a.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_are_turned_as_pillow_turns(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        load(tmp_path / "a.png"), apply_orientation(RGB, orientation)
    )
    # OpenCV writes no EXIF data: put those of the first file into the second.
    written(tmp_path / "b.png", RGB.astype(np.uint16) * 257)
    shallow = (tmp_path / "a.png").read_bytes()
    start = shallow.index(b"eXIf") - 4
    chunk = shallow[start : start + 12 + int.from_bytes(shallow[start : start + 4])]
    change(tmp_path / "b.png", lambda content: content[:33] + chunk + content[33:])
    np.testing.assert_array_equal(
        load(tmp_path / "b.png"), apply_orientation(RGB, orientation)
    )


def write_every_kind(folder):
    """Files of every kind of pixel, in formats of every kind."""
    image = Image.fromarray(RGB)
    for suffix in ("jpg", "png", "tif", "bmp", "gif", "webp", "avif", "jp2", "ppm"):
        image.save(folder / f"rgb.{suffix}")
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr"):
        image.convert(mode).save(folder / f"{mode}.tif")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.save(folder / "turned.jpg", exif=TURNED)
    written(folder / "grey16.png", deep((), 12))
    written(folder / "rgb16.png", deep((3,), 12))
    written(folder / "rgba16.tiff", deep((4,), 12))
    written(folder / "grey16.pgm", deep((), 14))


def test_every_way_of_reading_gives_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_every_kind(tmp_path)
    files = sorted(file for file in tmp_path.iterdir())
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        pipeline = [dict(type="snnssl_mm.LoadIntactImage")]
        dataset = ImageFolder(tmp_path, with_label=False, pipeline=pipeline)
    assert len(dataset) == len(files)
    by_folder = list(read_images(tmp_path))
    for file, sample, found in zip(files, dataset, by_folder, strict=True):
        ways = [
            sample["img"],
            found,
            next(read_images(file)),
            next(read_images(Image.open(file))),
            next(read_images(Image.open(io.BytesIO(file.read_bytes())))),
            read_network_image(str(file), {}).picture[..., ::-1],
        ]
        # Pillow and OpenCV bring two builds of libjpeg.
        tolerance = 2 if file.suffix == ".jpg" else 0
        for one, other in pairwise(ways):
            np.testing.assert_allclose(one.astype(int), other, atol=tolerance)
