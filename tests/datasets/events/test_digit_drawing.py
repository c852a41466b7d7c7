"""Integer drawing against OpenCV's floating-point warp, and the saccades' path."""

import numpy as np
import pytest

from snnssl_mm.datasets import scene_drawing
from snnssl_mm.datasets.events.digit_drawing import (
    COS,
    FULL_SCALE,
    LENGTH,
    MAX_INK,
    SIN,
    UNIT,
    Placement,
    draw_clutter,
    draw_digit,
    random_placement,
)
from snnssl_mm.datasets.events.digit_events import split_integer_digits
from snnssl_mm.datasets.events.event_camera import (
    AMBIENT,
    LOG_INTENSITY,
    LOG_UNIT,
    PIXEL,
    SUBDIVISIONS,
)
from snnssl_mm.datasets.events.saccades import MOVE, saccades, scaled_motion

SIZE = 32


@pytest.fixture(scope="module")
def digits():
    return split_integer_digits("train", 0)[0]


def test_digits_are_the_integers_of_scikit_learn(digits):
    assert digits.dtype == np.int64
    assert (digits.min(), digits.max()) == (0, MAX_INK)


@pytest.mark.parametrize("degrees", [0, 13, 345])
@pytest.mark.parametrize("margin", [0, 3])
def test_drawing_is_opencvs_warp(digits, degrees, margin):
    """To a hundredth: OpenCV rounds positions to 1/32 pixel."""
    size = SIZE + 2 * margin
    for digit, side, center in zip(
        digits, (240, 301, 399), ((250, 260), (231, 300), (280, 222)), strict=False
    ):
        drawn = draw_digit(
            digit, Placement(side, degrees, center), (size, size), margin
        )
        warped, _ = scene_drawing.place_digit(
            digit / MAX_INK,
            scene_drawing.Placement(
                side / LENGTH / size,
                np.deg2rad(degrees),
                tuple((c / LENGTH + margin) / size for c in center),
            ),
            size,
        )
        assert drawn.max() > 128
        difference = np.abs(drawn / FULL_SCALE - warped)
        assert difference.mean() < 0.01
        assert difference.max() < 0.1


def test_all_ink_is_inside_the_area(digits):
    rng = np.random.default_rng(0)
    area = np.array([3, 5]) * LENGTH, np.array([29, 27]) * LENGTH
    for digit in digits[:200]:
        placement = random_placement(digit, rng, (180, 270), area)
        assert 180 <= placement.side <= 270
        drawn = draw_digit(digit, placement, (SIZE + 8, SIZE + 8), 4)
        inside = drawn[4 + 5 - 1 : 4 + 27 + 1, 4 + 3 - 1 : 4 + 29 + 1].sum()
        assert inside > 0.97 * drawn.sum() > 0


def test_clutter_is_dimmer_than_ink_and_short():
    rng = np.random.default_rng(0)
    for _ in range(50):
        stroke = draw_clutter((SIZE, SIZE), rng, num_strokes=1, length=8 * LENGTH)
        assert stroke.max() <= 0.4 * FULL_SCALE
        rows, columns = np.nonzero(stroke)
        assert len(rows) < 2 * 10 * 4
        assert np.hypot(np.ptp(rows), np.ptp(columns)) < 8 + 3


def test_saccades_are_n_mnists_triangle():
    path, times = saccades()
    corners = path[:: len(path) // 3] - path[0]
    np.testing.assert_array_equal(
        corners, PIXEL * np.array([[0, 0], [3.5, 7], [7, 0], [0, 0]])
    )
    np.testing.assert_array_equal(times[:: len(path) // 3], MOVE * np.arange(4))
    mean = np.trapezoid(path, times, axis=0) / times[-1]
    np.testing.assert_allclose(mean, 0, atol=1)  # 1/256 pixel
    assert np.abs(np.diff(np.hypot(*np.diff(path[:43], axis=0).T))).max() < 2


def test_motion_grows_with_the_sensor():
    assert scaled_motion(34) == 7
    assert scaled_motion(68) == 14


def test_tables_are_far_from_ties():
    """A machine whose logarithm or cosine differs in the last bits rounds alike."""
    intensity = np.arange(len(LOG_INTENSITY)) / SUBDIVISIONS
    angles = np.deg2rad(np.arange(360))
    for exact, table in (
        (LOG_UNIT * np.log((AMBIENT + intensity) / AMBIENT), LOG_INTENSITY),
        (UNIT * np.cos(angles), COS),
        (UNIT * np.sin(angles), SIN),
    ):
        assert np.abs(exact - table).max() < 0.5 - 1e-6
