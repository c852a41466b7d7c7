"""Views change events as they say, out of place, and depend on numpy's seed only."""

import math

import numpy as np
import pytest
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from mmengine.runner import Runner
from simulated_recordings import ordered, simulated

from snnssl_mm.datasets import (
    EVENT,
    EventDenoise,
    EventDrop,
    EventFlip,
    EventFrames,
    EventNoise,
    EventPolarityFlip,
    EventResizedCrop,
    EventRotation,
    EventShift,
    EventTimeJitter,
    EventTimeWindow,
    Recording,
)
from snnssl_mm.engine.hooks.epoch_seed_hook import seed_worker

VIEWS = {
    "crop": EventResizedCrop(scale=(0.2, 0.6)),
    "shrink": EventResizedCrop(scale=(1.5, 4)),
    "shift": EventShift(0.4),
    "flip": EventFlip(prob=1),
    "rotation": EventRotation(1.0),
    "polarity": EventPolarityFlip(prob=1),
    "window": EventTimeWindow(share=(0.2, 0.6)),
    "jitter": EventTimeJitter(std=(500, 1000)),
    "denoise": EventDenoise(window=200),
    "chance": EventDrop("chance", (0.3, 0.5)),
    "time": EventDrop("time", (0.3, 0.5)),
    "area": EventDrop("area", (0.3, 0.5)),
    "noise": EventNoise(rate=(50, 100)),
}
EVERY = pytest.mark.parametrize("name", VIEWS)


def view(transform, recording, seed=0):
    np.random.seed(seed)
    return transform({"recording": recording})["recording"]


def several(transform, recording, count=20):
    return [view(transform, recording, seed) for seed in range(count)]


@EVERY
def test_views_are_sorted_recordings_of_the_same_sensor(name):
    recording = simulated(500)
    before, changed = recording.events.copy(), 0
    for found in several(VIEWS[name], recording):
        assert (found.height, found.width) == (recording.height, recording.width)
        assert found.events.dtype == EVENT
        assert (np.diff(found.events["t"]) >= 0).all()
        assert found.events["x"].max(initial=0) < recording.width
        assert found.events["y"].max(initial=0) < recording.height
        assert found.events["p"].max(initial=0) <= 1
        changed += not np.array_equal(found.events, before)
    assert changed >= 15  # small shifts and angles round to none
    np.testing.assert_array_equal(recording.events, before)


@EVERY
def test_views_depend_on_the_seed_of_numpy_only(name):
    recording = simulated(500)
    first, again, *others = (
        view(VIEWS[name], recording, seed).events for seed in (3, 3, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    if name not in ("flip", "polarity", "denoise"):  # nothing to draw
        assert any(not np.array_equal(first, other) for other in others)


@EVERY
def test_empty_and_read_only_recordings(name):
    empty = simulated(0)
    assert view(VIEWS[name], empty) is empty
    recording = simulated(200)
    expected = view(VIEWS[name], recording).events
    recording.events.flags.writeable = False
    np.testing.assert_array_equal(view(VIEWS[name], recording).events, expected)


@pytest.mark.parametrize(
    "still",
    [
        EventResizedCrop(scale=(1, 1), ratio=(1, 1)),
        EventShift(0),
        EventRotation(0),
        EventTimeWindow(share=(1, 1)),
        EventTimeJitter(std=(0, 0)),
        EventDrop("chance", (0, 0)),
        EventDrop("time", (0, 0)),
        EventDrop("area", (0, 0)),
        EventNoise(rate=(0, 0)),
        *(type(v)(prob=0) for v in VIEWS.values()),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_settings_without_an_effect_change_nothing(still):
    recording = simulated(300)
    for seed in range(3):
        np.testing.assert_array_equal(
            view(still, recording, seed).events, recording.events
        )


@pytest.mark.parametrize("name", ["flip", "polarity"])
def test_flips_are_their_own_inverse(name):
    recording = simulated(300)
    once = view(VIEWS[name], recording)
    np.testing.assert_array_equal(view(VIEWS[name], once).events, recording.events)
    clip, flipped = (EventFrames(3)({"recording": r})["img"] for r in (recording, once))
    axis = {"flip": 3, "polarity": 1}[name]
    np.testing.assert_array_equal(np.flip(clip, axis), flipped)


def test_an_area_above_one_shrinks_and_keeps_every_event():
    recording = simulated(500)
    before = [np.ptp(recording.events[name].astype(int)) for name in "xy"]
    for found in several(EventResizedCrop(scale=(4, 4), ratio=(1, 1)), recording):
        assert len(found.events) == 500
        after = [np.ptp(found.events[name].astype(int)) for name in "xy"]
        assert np.abs(np.array(before) / 2 - after).max() <= 1


def test_denoise_keeps_events_in_company():
    recording = simulated(400)
    events = recording.events
    x, y, t = (events[name].astype(int) for name in "xyt")
    for window in (0, 300, 2000):
        apart = np.maximum(abs(x[:, None] - x), abs(y[:, None] - y))
        earlier = np.tri(len(events), k=-1, dtype=bool)  # in the order of the file
        company = (apart == 1) & (t[:, None] - t <= window) & earlier
        found = view(EventDenoise(window), recording).events
        np.testing.assert_array_equal(found, events[company.any(1)])


def test_shift_moves_frames_by_whole_pixels():
    recording = simulated(300)
    clip = EventFrames(2)({"recording": recording})["img"]
    shifts = set()
    for found in several(EventShift(0.25), recording):
        moved = EventFrames(1)({"recording": found})["img"][0]
        candidates = [
            (down, right)
            for down in range(-3, 4)
            for right in range(-4, 5)
            if np.array_equal(shifted(clip.sum(0), down, right), moved)
        ]
        assert len(candidates) == 1
        shifts.update(candidates)
    assert len(shifts) > 10


def shifted(frame, down, right):
    padded = np.pad(frame, ((0, 0), (4, 4), (4, 4)))
    height, width = frame.shape[1:]
    return padded[:, 4 - down : 4 - down + height, 4 - right : 4 - right + width]


def test_a_quarter_turn_is_exact(monkeypatch):
    events = simulated(400, 12, 12).events
    square = Recording(events, 12, 12)
    monkeypatch.setattr(np.random, "uniform", lambda *_: math.pi / 2)
    turned = EventRotation(math.pi)({"recording": square})["recording"]
    clip, moved = (EventFrames(2)({"recording": r})["img"] for r in (square, turned))
    # y points down, so a positive angle turns clockwise on the screen.
    np.testing.assert_array_equal(np.rot90(clip, -1, (2, 3)), moved)


def test_small_rotations_stay_near():
    centre = simulated(200, 101, 101)
    centre.events["x"], centre.events["y"] = 60, 50
    for found in several(EventRotation(0.3), centre):
        x, y = found.events["x"][0] - 50.0, found.events["y"][0] - 50.0
        assert abs(math.atan2(y, x)) <= 0.3 + 0.05
        assert math.hypot(x, y) == pytest.approx(10, abs=1.5)


def test_crop_enlarges_a_part_of_the_given_area():
    recording = simulated(20_000, 64, 64)
    kept = [
        len(found.events) / 20_000
        for found in several(EventResizedCrop(scale=(0.3, 0.5)), recording, 40)
    ]
    assert 0.26 < min(kept) < 0.35 < 0.45 < max(kept) < 0.54
    # Left and upper halves of a crop are equally full: it is enlarged to all sides.
    found = view(EventResizedCrop(scale=(0.25, 0.25), ratio=(1, 1)), recording)
    quarters = EventFrames(1, size=(2, 2))({"recording": found})["img"].sum((0, 1))
    np.testing.assert_allclose(quarters / quarters.sum(), 0.25, atol=0.02)
    # So are its pixels: half of them would be empty without a spread.
    assert (EventFrames(1)({"recording": found})["img"].sum((0, 1)) > 0).mean() > 0.6


def test_time_windows_have_the_given_share_and_part():
    recording = simulated(5000)
    begin, length = int(recording.events["t"][0]), recording.duration
    early = EventTimeWindow(share=(0.5, 0.8), within=(0, 0.5))
    late = EventTimeWindow(share=(0.5, 0.8), within=(0.5, 1))
    for transform, low in ((early, 0.0), (late, 0.5)):
        for found in several(transform, recording):
            share = (found.events["t"] - begin) / length
            assert low <= share[0] < share[-1] < low + 0.5
            assert 0.23 < share[-1] - share[0] < 0.41
            inside = (recording.events["t"] >= found.events["t"][0]) & (
                recording.events["t"] <= found.events["t"][-1]
            )
            np.testing.assert_array_equal(found.events, recording.events[inside])


def test_jitter_has_the_given_deviation_and_keeps_the_pixels():
    recording = simulated(4000, duration=1_000_000)
    recording.events["x"] = np.arange(4000) % 16
    recording.events["y"] = np.arange(4000) // 16 % 12
    found = view(EventTimeJitter(std=(100, 100)), recording)
    first, last = recording.events["t"][[0, -1]]
    assert first <= found.events["t"][0] <= found.events["t"][-1] <= last
    counts = (EventFrames(1)({"recording": r})["img"] for r in (recording, found))
    np.testing.assert_array_equal(*counts)
    # Sorted times differ by less than unsorted ones, so compare in pairs of pixels.
    spread = np.sort(found.events["t"]) - recording.events["t"]
    assert 0 < np.abs(spread).mean() < 100


@pytest.mark.parametrize("by", ["chance", "time", "area"])
def test_drops_remove_the_given_share_of_events(by):
    recording = simulated(10_000, 64, 64)
    for found in several(EventDrop(by, (0.4, 0.4)), recording, 5):
        assert len(found.events) == pytest.approx(6000, abs=300)
        assert np.isin(found.events, recording.events).all()


def test_dropped_interval_and_area_are_whole():
    recording = simulated(10_000, 64, 64, duration=100_000)
    times = view(EventDrop("time", (0.4, 0.4)), recording).events["t"]
    gap = np.diff(np.concatenate([[5], times, [100_005]])).max()
    assert gap == pytest.approx(40_000, abs=200)
    area = view(EventDrop("area", (0.25, 0.25)), recording)
    counts = EventFrames(1)({"recording": area})["img"].sum((0, 1))
    before = EventFrames(1)({"recording": recording})["img"].sum((0, 1))
    hole = (counts == 0) & (before > 0)
    rows, columns = np.nonzero(hole.any(1))[0], np.nonzero(hole.any(0))[0]
    assert np.ptp(rows) == pytest.approx(31, abs=1)
    assert np.ptp(columns) == pytest.approx(31, abs=1)


def test_noise_adds_events_at_the_given_rate():
    recording = simulated(100, duration=1_000_000)
    counts = []
    for found in several(EventNoise(rate=(5, 5)), recording):
        counts.append(len(found.events) - 100)
        assert found.duration == recording.duration
        old = ordered(recording)
        assert np.isin(old, found.events).all()
    expected = 5 * 12 * 16 * recording.duration / 1e6
    assert np.mean(counts) == pytest.approx(expected, rel=0.03)
    assert np.std(counts) == pytest.approx(math.sqrt(expected), rel=0.5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: EventFlip(prob=1.5),
        lambda: EventShift(-0.1),
        lambda: EventResizedCrop(scale=(0, 0.5)),
        lambda: EventResizedCrop(scale=(1, 0.5)),
        lambda: EventTimeWindow(within=(0.5, 0.2)),
        lambda: EventDrop("row"),
        lambda: EventDrop("time", (0, 2)),
        lambda: EventDenoise(-1),
        lambda: EventNoise((-1, 1)),
        lambda: EventTimeJitter((5, 1)),
    ],
    ids=range(10),
)
def test_wrong_options_are_refused(build):
    with pytest.raises(ValueError, match="got"):
        build()


def two_views(*transforms):
    views = [dict(type=f"snnssl_mm.{name}", **options) for name, options in transforms]
    frames = dict(type="snnssl_mm.EventFrames", time_steps=3, size=(8, 8))
    return [
        dict(type="MultiView", num_views=2, transforms=[[*views, frames]]),
        dict(type="PackInputs"),
    ]


@pytest.fixture
def mmpretrain_scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


def loader(workers=0, pipeline=None):
    pipeline = pipeline or two_views(("EventShift", {}), ("EventDrop", {}))
    return dict(
        batch_size=4,
        num_workers=workers,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
        dataset=dict(type="SimulatedRecordings", number=8, pipeline=pipeline),
    )


def test_two_views_are_batches_of_clips(mmpretrain_scope):
    (batch, *_) = Runner.build_dataloader(loader(), seed=0)
    first, second = batch["inputs"]
    assert first.shape == second.shape == (4, 3, 2, 8, 8)
    assert not first.equal(second)
    assert [s.gt_label.item() for s in batch["data_samples"]] == [0, 1, 0, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_for_a_seed(mmpretrain_scope, workers):
    def batches(seed):
        np.random.seed(seed)
        found = Runner.build_dataloader(loader(workers), seed=0)
        found.worker_init_fn = lambda worker: seed_worker(worker, seed)
        return [view.numpy() for batch in found for view in batch["inputs"]]

    first, again, other = map(batches, (0, 0, 1))
    assert all(map(np.array_equal, first, again))
    assert not any(map(np.array_equal, first, other))


def test_views_of_different_times_share_no_event(mmpretrain_scope):
    halves = [
        [
            dict(type="snnssl_mm.EventTimeWindow", share=(1, 1), within=within),
            dict(type="snnssl_mm.EventFrames", time_steps=1),
        ]
        for within in ((0, 0.5), (0.5, 1))
    ]
    multi_view = TRANSFORMS.build(
        dict(type="MultiView", num_views=[1, 1], transforms=halves)
    )
    recording = simulated(300)
    first, second = multi_view({"recording": recording})["img"]
    both = EventFrames(1)({"recording": recording})["img"]
    np.testing.assert_array_equal(first + second, both)
    middle = recording.events["t"][0] + recording.duration / 2
    assert first.sum() == (recording.events["t"] < middle).sum()


def test_padding_mask_can_be_packed(mmpretrain_scope):
    pipeline = [
        dict(type="snnssl_mm.EventFrames", time_steps=6, by="duration", duration=2500),
        dict(type="PackInputs", algorithm_keys=["padding_mask"]),
    ]
    settings = dict(type="SimulatedRecordings", number=1, pipeline=pipeline)
    sample = DATASETS.build(settings)[0]
    assert sample["inputs"].shape == (6, 2, 16, 16)
    assert sample["data_samples"].padding_mask.tolist() == 4 * [False] + 2 * [True]
