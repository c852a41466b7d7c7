"""Ablation of views in time: pipelines hold the events that a cell says."""

from pathlib import Path

import numpy as np
import pytest
from made_recordings import made_recording
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from snnssl_mm.ablation.cells import CHOICES, Cell
from snnssl_mm.ablation.data_axes import default_grids_for, require_axes
from snnssl_mm.ablation.grids import DEFAULT_GRIDS, cells_of
from snnssl_mm.ablation.runs import run_config
from snnssl_mm.cli.shared.config_files import find_config

CONFIGS = Path(__file__).parents[2] / "configs" / "selfsup"
EVENTS, IMAGES = CONFIGS / "spikformer_ctl_events.py", CONFIGS / "spikformer_ctl.py"
PHOTOGRAPHS = CONFIGS / "spikformer-4-384_ctl_cifar10.py"
LOW_THRESHOLD = CONFIGS / "spiking-resnet-18_ctl_folder32_cpu.py"


@pytest.fixture
def config_of():
    """Return a function: the config of a cell, whose views change time only."""

    def write(**axes):
        cfg = Config.fromfile(EVENTS)
        views = cfg.train_dataloader.dataset.pipeline[1]
        views.transforms = [
            [
                dict(type="snnssl_mm.EventTimeWindow", share=(0.4, 0.6)),
                dict(type="snnssl_mm.EventFrames", time_steps=4, size=(8, 8)),
            ]
        ]
        return run_config(cfg, Cell(**axes), 0, find_config)

    return write


@pytest.fixture
def views_of(config_of):
    """Return a function: both views of a recording, and all its frames."""

    def views(**axes):
        cfg = config_of(**axes)
        init_default_scope("mmpretrain")
        pipeline = cfg.train_dataloader.dataset.pipeline[1:-1]
        recording = made_recording(4000)
        np.random.seed(0)
        pair = Compose(pipeline)(dict(recording=recording))["img"]
        frames = Compose([cfg.eval_pipeline[-2]])(dict(recording=recording))["img"]
        return *pair, frames

    return views


def total(frames):
    return int(np.sum(frames))


def test_none_shows_the_whole_recording(views_of):
    first, second, frames = views_of(windows="none")
    assert np.array_equal(first, second)
    assert total(first) == total(frames) == 4000


def test_same_draws_one_window_and_config_two(views_of):
    first, second, _ = views_of(windows="same")
    assert np.array_equal(first, second)
    assert 1500 < total(first) < 2500
    first, second, _ = views_of()
    assert total(first) != total(second)


def test_halves_share_no_event(views_of):
    first, second, frames = views_of(windows="halves")
    pair = [total(view) for view in (first, second)]
    assert all(700 < number < 1300 for number in pair)  # 0.4 to 0.6 of 2000
    assert sum(pair) <= total(frames)


def test_jitter_and_drop_add_to_the_window(views_of):
    """The seed draws the same window first."""
    window, _, _ = views_of()
    jittered, _, _ = views_of(windows="jitter")
    assert total(jittered) == total(window)
    assert not np.array_equal(jittered, window)
    dropped, _, _ = views_of(windows="drop")
    assert 0.65 * total(window) < total(dropped) < total(window)


def test_one_view_of_events_is_what_masked_autoencoding_sees(config_of):
    views, own = (config_of(loss=loss).train_dataloader for loss in ("mae", "ctl"))
    assert views.dataset.pipeline[0] == own.dataset.pipeline[0]
    one, two = views.dataset.pipeline[1], own.dataset.pipeline[1]
    assert (one.num_views, two.num_views) == (1, 2)
    assert one.transforms == two.transforms


@pytest.mark.parametrize("steps", [2, 8, "2-4"])
def test_time_steps_are_those_of_the_frames(config_of, steps):
    cfg, (_, last) = config_of(steps=steps), Cell(steps=steps).time_steps
    frames = [cfg.train_dataloader.dataset.pipeline[1].transforms[0][-1]]
    for name in ("eval_train_dataloader", "eval_test_dataloader"):
        frames.append(cfg[name].dataset.pipeline[-2])
    assert [one.time_steps for one in frames] == [last] * 3


@pytest.mark.parametrize(
    ("file", "axes"),
    [
        (EVENTS, dict(views="4")),
        (EVENTS, dict(jitter="frames")),
        (IMAGES, dict(windows="none")),
        (PHOTOGRAPHS, dict(views="4")),
        (PHOTOGRAPHS, dict(width=2048)),
        (LOW_THRESHOLD, dict(threshold=0.75)),
    ],
)
def test_axes_that_do_not_fit_the_config_are_refused(file, axes):
    cfg = Config.fromfile(file)
    with pytest.raises(ValueError, match=next(iter(axes))):
        require_axes(cfg, [Cell(**axes)])
    require_axes(cfg, cells_of(default_grids_for(cfg, DEFAULT_GRIDS)))


def test_pipelines_without_two_views_are_refused():
    cfg = Config.fromfile(EVENTS)
    cells = [Cell(windows=windows) for windows in CHOICES["windows"]]
    require_axes(cfg, cells)
    pipeline = cfg.train_dataloader.dataset.pipeline
    load = pipeline.pop(0)
    pipeline[0].transforms[0].insert(0, load)
    with pytest.raises(ValueError, match="LoadEvents"):
        require_axes(cfg, cells)
    pipeline.pop(0)
    with pytest.raises(ValueError, match="EventFrames"):
        require_axes(cfg, cells)


def test_settings_of_the_config_keep_their_axis():
    cfg = Config.fromfile(IMAGES)
    cfg.model.backbone.attention_scale = "auto"
    cfg.model.backbone.neuron = dict(surrogate=dict(type="atan"))
    require_axes(cfg, [Cell(), Cell(threshold=0.5)])
    for axes in (dict(attention="auto"), dict(surrogate=2.0)):
        with pytest.raises(ValueError, match=next(iter(axes))):
            require_axes(cfg, [Cell(**axes)])


def test_views_of_several_kinds_are_refused():
    cfg = Config.fromfile(IMAGES)
    cfg.train_dataloader.dataset.pipeline[0].num_views = 3
    with pytest.raises(ValueError, match="views"):
        require_axes(cfg, [Cell(views="4")])


def test_a_config_without_labelled_images_is_refused():
    cfg = Config.fromfile(IMAGES)
    cfg.eval_test_dataloader = None
    with pytest.raises(ValueError, match="eval_test_dataloader"):
        require_axes(cfg, [Cell()])
