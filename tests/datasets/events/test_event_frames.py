"""Frames equal spikingjelly's and naive loops, also where windows are empty."""

import math

import numpy as np
import pytest
from rivals.events import utils
from simulated_recordings import fields, simulated

from snnssl_mm.datasets import EVENT, EventFrames, Recording
from snnssl_mm.datasets.events.integration import filled_windows, voxel_grid


def frames(recording, **options):
    return EventFrames(**options)({"recording": recording})["img"]


def recording_at(*times, height=2, width=3):
    events = np.zeros(len(times), EVENT)
    events["t"] = times
    return Recording(events, height, width)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [1, 3, 4, 7])
@pytest.mark.parametrize(("by", "split"), [("time", "time"), ("count", "number")])
def test_fixed_numbers_of_frames_equal_spikingjelly(by, split, steps, seed):
    recording = simulated(501, seed=seed)
    expected = utils.integrate_events_by_fixed_frames_number(
        fields(recording), split, steps, recording.height, recording.width
    )
    ours = frames(recording, time_steps=steps, by=by)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("duration", [700, 2500, 3333])
def test_fixed_duration_equals_spikingjelly(duration):
    recording = simulated(501)
    expected = utils.integrate_events_by_fixed_duration(
        fields(recording), duration, recording.height, recording.width
    )
    filled = len(expected)
    for steps in (filled + 2, filled, filled - 1):
        results = EventFrames(steps, by="duration", duration=duration)(
            {"recording": recording}
        )
        np.testing.assert_array_equal(results["img"][:filled], expected[:steps])
        assert not results["img"][filled:].any()
        np.testing.assert_array_equal(
            results["padding_mask"], np.arange(steps) >= filled
        )


def test_an_event_on_the_last_edge_is_in_the_last_frame():
    """As in spikingjelly: 20 µs are two windows of 10 µs, not two and an event."""
    recording = recording_at(0, 9, 10, 20)
    expected = utils.integrate_events_by_fixed_duration(fields(recording), 10, 2, 3)
    ours = frames(recording, time_steps=2, by="duration", duration=10)
    np.testing.assert_array_equal(ours, expected)
    assert ours.sum((1, 2, 3)).tolist() == [2, 2]
    assert filled_windows(recording.events["t"], 10) == 2


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_voxel_grid_equals_a_naive_loop(steps):
    recording = simulated(300)
    events = recording.events
    first, last = int(events["t"][0]), int(events["t"][-1])
    expected = np.zeros((steps, 2, recording.height, recording.width))
    for x, y, t, p in events.tolist():
        place = (steps - 1) * (t - first) / (last - first)
        for step in range(steps):
            expected[step, p, y, x] += max(0.0, 1 - abs(place - step))
    ours = voxel_grid(recording, steps, expected.shape[2:])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    assert ours.sum() == pytest.approx(len(events))


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (24, 32)])
def test_size_scales_coordinates(size):
    recording = simulated(300)
    expected = np.zeros((2, 2, *size))
    for x, y, t, p in recording.events.tolist():
        first = recording.events["t"][0]
        half = (recording.events["t"][-1] - first) // 2
        row = math.floor(y * size[0] / recording.height)
        column = math.floor(x * size[1] / recording.width)
        expected[int(t >= first + half), p, row, column] += 1
    np.testing.assert_array_equal(frames(recording, time_steps=2, size=size), expected)


def test_binary_frames_tell_where_there_are_events():
    recording = simulated(2000)
    counts = frames(recording)
    assert counts.max() > 1
    np.testing.assert_array_equal(frames(recording, value="binary"), counts > 0)


OPTIONS = [
    dict(by="time"),
    dict(by="count"),
    dict(by="duration", duration=5),
    dict(value="voxel"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["time", "count", "duration", "voxel"])
def test_empty_recordings_give_empty_frames(options):
    results = EventFrames(3, size=(4, 5), **options)({"recording": recording_at()})
    assert results["img"].shape == (3, 2, 4, 5)
    assert not results["img"].any()
    assert results.get("padding_mask", np.True_).all()


@pytest.mark.parametrize(
    ("options", "sums"),
    [
        (OPTIONS[0], [0, 0, 2]),  # all in the last window, which takes the rest
        (OPTIONS[1], [0, 0, 2]),
        (OPTIONS[2], [2, 0, 0]),
        (OPTIONS[3], [2, 0, 0]),
    ],
    ids=["time", "count", "duration", "voxel"],
)
def test_no_event_is_lost_of_few_events_at_one_time(options, sums):
    recording = recording_at(7, 7)
    assert frames(recording, time_steps=3, **options).sum((1, 2, 3)).tolist() == sums


def test_windows_without_events_are_empty_frames():
    """Where spikingjelly raises an IndexError."""
    recording = recording_at(0, 1, 90, 99)
    assert frames(recording, time_steps=3).sum((1, 2, 3)).tolist() == [2, 0, 2]


@pytest.mark.parametrize("name", ["x", "y", "p"])
@pytest.mark.parametrize("value", ["count", "voxel"])
def test_events_without_a_pixel_are_refused(name, value):
    recording = simulated(50)
    recording.events[name][7] = 16
    with pytest.raises(ValueError, match="1 of 50"):
        frames(recording, value=value)


def test_read_only_and_mapped_events(tmp_path):
    recording = simulated(100)
    np.save(tmp_path / "events.npy", recording.events)
    mapped = np.load(tmp_path / "events.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        frames(recording.replace_events(mapped)), frames(recording)
    )


@pytest.mark.parametrize(
    "options",
    [
        dict(by="number"),
        dict(value="sum"),
        dict(time_steps=0),
        dict(size=(0, 4)),
        dict(by="duration"),
        dict(by="time", duration=10),
        dict(by="count", value="voxel"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match=r"by=|time_steps="):
        EventFrames(**options)
