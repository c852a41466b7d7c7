"""Objectives of an ablation: what their configs change in the main job."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, MutableMapping
from typing import Any

from mmengine.config import Config

from snnssl_mm.checkpoints.preprocessing import transforms_named

MAIN_JOB = "configs/selfsup/spikformer_ctl.py"
"""Config from which those of all objectives inherit."""
SLICES = ("all", "boundary", "step", "flat", "mean")
OF_SAMPLES = ("all", "boundary", "step", "mean")
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "flat": ("flat",),
    "btl": ("boundary",),
    "ctl": ("all", "step"),
    "vicreg": SLICES,
    "simclr": SLICES,
    "lejepa": SLICES,
    "simsiam": OF_SAMPLES,
    "byol": OF_SAMPLES,
    "predict": ("all", "boundary", "step"),
    "distill": ("step", "mean"),
    "mae": ("mean",),
}
"""Objective NAME of ``configs/selfsup/spikformer_NAME.py`` -> its time structures, that
of the config first. ``'flat'`` is left out where it equals ``'step'``."""
TITLES = {
    "btl": "BTL",
    "ctl": "CTL",
    "vicreg": "VICReg",
    "simclr": "NT-Xent",
    "lejepa": "LeJEPA",
    "simsiam": "SimSiam",
    "byol": "BYOL",
    "predict": "next step",
    "distill": "distillation",
    "mae": "masked",
}
REDUNDANCY = ("flat", "btl", "ctl")
"""Redundancy reduction: the method's losses, with lambda, and other time structures
under names of their own."""
PAIRED = ("btl", "ctl", "vicreg", "simclr", "simsiam", "byol")
"""Objectives with pairs inside a view, which can be left out."""
ONE_VIEW = ("mae",)
"""Objectives that see one view of an image, without a projector."""


def config_name(objective: str) -> str:
    """Return the name of an objective's config among those of the package."""
    return f"configs/selfsup/spikformer_{objective}.py"


def apply_objective(cfg: Config, objective: str, find: Callable[[str], str]) -> None:
    """Change a config of pretraining, in place, as an objective's changes the main job.

    So its predictor, teacher and learning rate, in units of the main job's, stand in
    one place, and the network, images, views and length of training are those of
    ``cfg``; objectives of one view get the first of its views.

    Args:
        cfg: Config of pretraining with a loss of the method's.
        objective: A key of :data:`OBJECTIVES`.
        find: Finds a config of the package by its name, such as ``configs/a.py``.
    """
    before, after = (
        copy.deepcopy(read_once(find(name)))
        for name in (MAIN_JOB, config_name(objective))
    )
    after.train_dataloader = before.train_dataloader
    own, main, other = (one.optim_wrapper.optimizer for one in (cfg, before, after))
    main.lr, other.lr = own.lr, own.lr * (other.lr / main.lr)
    apply_changes(cfg, before, after)
    cfg.model.head.loss.type = after.model.head.loss.type  # if cfg has another
    if objective in ONE_VIEW:
        for step in transforms_named(cfg.train_dataloader, "MultiView"):
            step.update(num_views=1, transforms=step["transforms"][:1])


@functools.cache
def read_once(file: str) -> Config:
    """Read a config of the package; a grid needs it for each of its runs."""
    return Config.fromfile(file)


def apply_changes(own: Any, before: Any, after: Any) -> None:
    """Make the changes from ``before`` to ``after`` in ``own``, in place.

    A three-way merge of nested dicts: what both versions share stays as in ``own``.

    Example:
        >>> own = dict(lr=3, loss=dict(type="A", size=9), hook=1)
        >>> before = dict(lr=1, loss=dict(type="A", size=2), hook=1)
        >>> apply_changes(own, before, dict(lr=1, loss=dict(type="B", size=2)))
        >>> own
        {'lr': 3, 'loss': {'type': 'B', 'size': 9}}
    """
    for key in set(before) - set(after):
        own.pop(key, None)
    for key, value in after.items():
        old = before.get(key)
        if key in before and value == old:
            continue
        inside = (own.get(key), old, value)
        if all(isinstance(part, MutableMapping) for part in inside):
            apply_changes(*inside)
        else:
            own[key] = copy.deepcopy(value)
