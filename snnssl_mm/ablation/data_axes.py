"""Which axes fit a config, and what an ablation changes in its data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from snnssl_mm.ablation.cells import WIDTH, Cell
from snnssl_mm.analysis.time_steps import set_frames
from snnssl_mm.checkpoints.preprocessing import innermost, transforms_named
from snnssl_mm.checkpoints.stored_config import type_name
from snnssl_mm.probing.labelled_images import EVAL_LOADERS, has_labelled_images

LOADER = "train_dataloader"
WINDOW = dict(type="snnssl_mm.EventTimeWindow")
ADDED: dict[str, dict[str, Any]] = {
    "window": WINDOW,
    "jitter": dict(type="snnssl_mm.EventTimeJitter", std=(0.0, 20_000.0)),
    "drop": dict(type="snnssl_mm.EventDrop", by="time", share=(0.0, 0.3)),
}
"""Views that a choice of ``windows`` puts before the frames. 20 ms are a quarter of
one of the four frames of N-MNIST and of digit events."""


def reads_events(cfg: Config) -> bool:
    """Tell whether a config's training integrates events into frames."""
    return bool(transforms_named(cfg.get(LOADER), "EventFrames"))


def absent_axes(cfg: Config) -> dict[str, str]:
    """Return the axes that do not fit a config, and why."""
    absent: dict[str, str] = {}
    if not transforms_named(cfg.get(LOADER), "RandomAffineScene"):
        reason = f"it rewrites views of digit scenes, which {LOADER} does not have"
        absent = {"views": reason, "jitter": reason}
    if not reads_events(cfg):
        absent["windows"] = (
            f"it changes views in time, but {LOADER} has no EventFrames, such as "
            "configs/selfsup/spikformer_ctl_events.py has"
        )
    backbone = cfg.model.backbone
    neuron = backbone.get("neuron") or {}
    own = {
        "threshold": neuron.get("v_threshold"),
        "surrogate": neuron.get("surrogate"),
        "attention": backbone.get("attention_scale"),
    }
    for axis, value in own.items():
        if value is not None:
            absent[axis] = f"its backbone sets {value}"
    width = (cfg.model.get("neck") or {}).get("out_channels")
    if width != WIDTH:
        absent["width"] = (
            f"it keeps lambda D of a projector with {WIDTH} outputs (neck.out_channels)"
            f", but this one has {width}"
        )
    return absent


def require_axes(cfg: Config, cells: Iterable[Cell]) -> None:
    """Refuse cells that do not fit the config, and configs that cannot be evaluated.

    Raises:
        ValueError: If an axis is among :func:`absent_axes`, views are asked of a
            pipeline without a fitting ``MultiView``, or there are no labelled images.
    """
    if not has_labelled_images(cfg):
        raise ValueError(
            f"{cfg.filename} has no labelled images, on which every run is evaluated; "
            f"set {' and '.join(EVAL_LOADERS)}"
        )
    absent, default = absent_axes(cfg), Cell()
    for cell in cells:
        for axis, reason in absent.items():
            if getattr(cell, axis) != getattr(default, axis):
                raise ValueError(
                    f"the axis {axis} does not fit {cfg.filename}: {reason}; leave it "
                    f"at {getattr(default, axis)!r}"
                )
        apply_data_axes(copy.deepcopy(cfg), cell)


def apply_data_axes(cfg: Config, cell: Cell) -> None:
    """Set T in the pipelines that make frames, and the views; in place."""
    set_frames(cfg, (LOADER, *EVAL_LOADERS), cell.time_steps[1])
    with_windows(cfg, cell.windows)
    with_views(cfg, cell)


def with_views(cfg: Config, cell: Cell) -> None:
    """Change number, size and photometry of the views of digit scenes, in place.

    Raises:
        ValueError: If the config's views are not two of one kind.
    """
    if (cell.views, cell.jitter) == (Cell().views, Cell().jitter):
        return
    dataset, place = find_views(cfg)
    step = dataset["pipeline"][place]
    if step["num_views"] not in (2, [2]) or len(step["transforms"]) != 1:
        raise ValueError(
            "the axes views and jitter need a MultiView of two views of one kind, got "
            f"num_views={step['num_views']}; see "
            "configs/_base_/datasets/digit_scenes.py"
        )
    kinds, numbers = [list(step["transforms"][0])], [4 if cell.views == "4" else 2]
    if cell.views == "2+2 small":
        half = dataset.get("size", 16) // 2  # as DigitScenes has it
        kinds.append([*kinds[0], dict(type="Resize", scale=(half, half))])
        numbers.append(2)
    if cell.jitter == "frames":
        frames = dict(type="snnssl_mm.PhotometricFrames", time_steps=cell.time_steps[1])
        kinds = [[*kind, frames] for kind in kinds]
    step["num_views"], step["transforms"] = numbers, kinds


def with_windows(cfg: Config, windows: str) -> None:
    """Change the views in time of the training, in place.

    Args:
        cfg: Config of a pretraining on events.
        windows: ``'none'`` removes window, jitter and drop in time, so that both views
            are of the whole recording; ``'same'`` draws one window for both;
            ``'halves'`` gives one view the first and the other the second half;
            ``'window'``, ``'jitter'`` and ``'drop'`` add a view of :data:`ADDED`;
            ``'config'`` changes nothing.

    Raises:
        ValueError: If there is no ``MultiView`` of two views, or it loads recordings.
    """
    if windows == "config":
        return
    dataset, place = find_views(cfg)
    pipeline = dataset["pipeline"]
    step = pipeline[place]
    numbers, views = step["num_views"], [list(view) for view in step["transforms"]]
    loaded = not any(named(one, "LoadEvents") for view in views for one in view)
    counts = [numbers] * len(views) if isinstance(numbers, int) else list(numbers)
    if sum(counts) != 2 or not loaded:
        raise ValueError(
            f"the axis windows needs LoadEvents in front of a MultiView of two views, "
            f"got {sum(counts)} views, and LoadEvents "
            f"{'in front' if loaded else 'inside'}; see "
            "configs/_base_/datasets/digit_events.py"
        )
    repeated = [[view] * count for view, count in zip(views, counts, strict=True)]
    pair = [view for copies in repeated for view in copies]
    drawn = [one for one in pair[0] if named(one, "EventTimeWindow")] or [WINDOW]
    if windows in ADDED:
        pair = [[*view[:-1], ADDED[windows], view[-1]] for view in pair]
    else:
        pair = [[one for one in view if not in_time(one)] for view in pair]
    if windows == "halves":
        pair = [
            [dict(drawn[0], within=within), *view]
            for view, within in zip(pair, ((0.0, 0.5), (0.5, 1.0)), strict=True)
        ]
    step["num_views"], step["transforms"] = [1, 1], pair
    if windows == "same":
        pipeline[place:place] = drawn[:1]


def find_views(cfg: Config) -> tuple[Any, int]:
    """Return the training dataset that has a ``MultiView``, and its place there.

    Raises:
        ValueError: If there is none.
    """
    for dataset in innermost(cfg.get(LOADER)):
        pipeline = dataset.get("pipeline") or []
        for place, step in enumerate(pipeline):
            if named(step, "MultiView"):
                return dataset, place
    raise ValueError(
        f"the cell changes the views of {LOADER}, which has no MultiView; see "
        "configs/_base_/datasets/digit_scenes.py and digit_events.py"
    )


def named(step: Mapping[str, Any], *names: str) -> bool:
    """Tell whether a transform has one of these names."""
    return type_name(step["type"]) in names


def in_time(step: Mapping[str, Any]) -> bool:
    """Tell whether a transform changes the time of events."""
    by_time = named(step, "EventDrop") and step.get("by") == "time"
    return by_time or named(step, "EventTimeWindow", "EventTimeJitter")


def default_grids_for(cfg: Config, grids: Sequence[str]) -> list[str]:
    """Leave out the grids of single axes that do not fit a config."""
    absent = absent_axes(cfg)
    return [grid for grid in grids if grid not in absent]
