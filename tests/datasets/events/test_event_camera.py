"""The simulated event camera against closed forms."""

import numpy as np
import pytest

from snnssl_mm.datasets.events.digit_events import iter_digit_events
from snnssl_mm.datasets.events.event_camera import (
    AMBIENT,
    LOG_UNIT,
    PIXEL,
    EventCamera,
)

SIZE, MARGIN = 12, 5
SIDE = SIZE + 2 * MARGIN


def camera(seed=0, **options):
    quiet = dict(mismatch=0.0, refractory=0, noise_rate=0.0)
    rng = np.random.default_rng(seed)
    return EventCamera.draw(SIZE, SIZE, rng, **{**quiet, **options})


def record(scene, shift, duration=100_000, steps=400, **options):
    """Record a scene that moves by ``shift`` pixels to the right."""
    step = np.arange(steps + 1)
    path = np.stack([step * round(PIXEL * shift) // steps, 0 * step], 1)
    times = step * duration // steps
    return camera(**options).record(scene, path, times, np.random.default_rng(1))


def edge(left, right):
    """A scene of two halves, with the edge in the middle of the sensor."""
    scene = np.full((SIDE, SIDE), left)
    scene[:, SIDE // 2 :] = right
    return scene


@pytest.mark.parametrize(("left", "right"), [(200, 10), (10, 200), (255, 0), (0, 255)])
def test_events_of_an_edge_are_those_of_the_closed_form(left, right):
    """An edge that moves at one pixel in 25 ms is a ramp of 25 ms in each pixel."""
    threshold, shift, duration = 0.25, 4, 100_000
    recording = record(edge(left, right), shift, duration, threshold=threshold)
    # The log intensity changes from that of the right side to that of the left.
    change = np.log((AMBIENT + left) / (AMBIENT + right))
    count = int(abs(change) / threshold)
    for column in range(SIZE):
        events = recording.events[recording.events["x"] == column]
        passed = column - SIZE // 2  # the edge is in front of column SIZE / 2
        if not 0 <= passed < shift:
            assert len(events) == 0
            continue
        assert len(events) == SIZE * count
        assert (events["p"] == (change > 0)).all()
        first = events[events["y"] == 0]["t"]
        levels = threshold * np.arange(1, count + 1) * np.sign(change)
        ramp = ((AMBIENT + right) * np.exp(levels) - AMBIENT - right) / (left - right)
        # 1/256 pixel of position and 1/16 of intensity are steps of 100 to 400 us.
        np.testing.assert_allclose(first, 25_000 * (passed + ramp), atol=500)


def test_factors_decide_and_not_differences():
    """The same factor from dark to bright gives the same events."""
    dark, bright = (
        record(edge(factor * AMBIENT - AMBIENT, 2 * factor * AMBIENT - AMBIENT), 3)
        for factor in (1, 3)
    )
    assert len(dark.events) == len(bright.events) > 0
    wide, narrow = (len(record(edge(low, 200), 3).events) for low in (20, 120))
    assert wide > narrow > 0


def test_there_and_back_gives_both_polarities_alike():
    step = np.arange(201)
    path = np.stack([np.minimum(step, 200 - step) * 8, 0 * step], 1)
    recording = camera().record(
        edge(20, 220), path, step * 500, np.random.default_rng(0)
    )
    counts = np.bincount(recording.events["p"], minlength=2)
    assert counts.min() > 100
    # Back at the start, a pixel may keep a change of less than a threshold.
    assert np.ptp(counts) <= SIZE * SIZE


def test_pixels_are_blind_for_the_refractory_time():
    free, blind = (record(edge(255, 0), 4, refractory=r) for r in (0, 5000))
    assert len(blind.events) < len(free.events)
    for recording, shortest in ((free, 0), (blind, 5000)):
        events = recording.events
        pixel = events["y"].astype(int) * SIZE + events["x"]
        gaps = [np.diff(events["t"][pixel == p]) for p in np.unique(pixel)]
        assert np.concatenate(gaps).min() >= shortest
    assert np.concatenate(gaps).min() < 10_000


@pytest.mark.parametrize("rate", [0.0, 1.0, 20.0])
def test_noise_has_its_rate(rate):
    still = np.full((SIDE, SIDE), 77)
    events = record(still, 0, duration=5_000_000, noise_rate=rate).events
    expected = rate * 5 * SIZE * SIZE
    assert abs(len(events) - expected) <= 5 * expected**0.5
    if rate:
        assert abs(events["p"].mean() - 0.5) < 5 * 0.5 / len(events) ** 0.5
        assert len(np.unique(events["x"])) == SIZE


def test_thresholds_have_the_mean_and_the_spread_asked_for():
    rng = np.random.default_rng(0)
    drawn = EventCamera.draw(100, 100, rng, threshold=0.3, mismatch=0.1).thresholds
    assert drawn.dtype == np.int64
    np.testing.assert_allclose(drawn.mean() / LOG_UNIT, 0.3, rtol=0.01)
    np.testing.assert_allclose(drawn.std() / drawn.mean(), 0.1, rtol=0.05)
    off, on = drawn.reshape(2, -1)
    assert abs(np.corrcoef(off, on)[0, 1]) < 0.05


def test_recordings_are_sorted_and_on_the_sensor():
    for recording, _ in iter_digit_events("train", 5, size=20):
        assert (recording.height, recording.width) == (20, 20)
        assert (np.diff(recording.events["t"]) >= 0).all()
        assert recording.events["t"][0] >= 0
        assert recording.events["t"][-1] <= 315_000
        for axis in ("x", "y"):
            assert recording.events[axis].max() < 20


@pytest.mark.parametrize(
    "wrong",
    [
        dict(threshold=0.0),
        dict(mismatch=0.5),
        dict(refractory=-1),
        dict(noise_rate=1000.0),
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_bad_values_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        camera(**wrong)


def test_a_scene_must_cover_the_sensor_during_the_motion():
    with pytest.raises(ValueError, match="margins"):
        record(edge(0, 255), MARGIN)
