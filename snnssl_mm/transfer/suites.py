"""Suites: lists of downstream tasks in short config files.

A suite is a Python config with ``tasks``, a dict of settings by name::

    pretraining = '../selfsup/spikformer_ctl.py'   # of the probes
    tasks = dict(
        linear=dict(probe='linear'),
        detection=dict(
            config='../detection/mask-rcnn_spikformer_fpn_digits.py',
            metrics={'box AP': 'coco/bbox_mAP', 'box AP50': 'coco/bbox_mAP_50'},
            fractions=[0.25, 1.0],
            options={'train_cfg.val_interval': 4}))

A fraction above 1 is a number of labels a class, as in ``fractions=[10, 30, 1.0]``.
Paths of configs are relative to the suite's file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snnssl_mm.checks.config.problem import closest
from snnssl_mm.datasets.labelled_fraction import require_fraction
from snnssl_mm.probing.protocols import PROTOCOLS
from snnssl_mm.recording.probe_names import FROZEN, label_order

PERCENT = (
    *("mIoU", "mAcc", "aAcc", "mDice", "mFscore", "mPrecision", "mRecall"),
    *("accuracy/top1", "accuracy/top5"),
)
"""Names of metrics that mmseg and mmpretrain log in percent."""
BASELINES = ("random", "pixels")
PROBE_METRICS = {"top-1": "top1"}
SUITE_KEYS = ("pretraining", "seeds", "baselines", "tasks")
TASK_KEYS = ("probe", "config", "metrics", "fractions", "options")


class SuiteError(ValueError):
    """A suite, or a request to it, that cannot be run; the message is for the user."""


class Metric(NamedTuple):
    """Name of a value in the log, and the factor that scales it to 0..1."""

    key: str
    scale: float


class SuiteTask(NamedTuple):
    """One downstream task.

    Attributes:
        name: Name in the suite.
        config: Config file: the task's, or the pretraining's for probes.
        probe: Name of the probe; None for a task with its own config.
        metrics: Metrics by the names of their columns.
        fractions: Fractions of the labelled training images, or labels a class (> 1).
        options: Settings that replace the config's, by dotted keys.
    """

    name: str
    config: str
    probe: str | None
    metrics: dict[str, Metric]
    fractions: tuple[float, ...]
    options: dict[str, Any]

    @property
    def frozen(self) -> bool:
        """Whether it is a probe that trains no network."""
        return self.probe in FROZEN


class Suite(NamedTuple):
    """A list of downstream tasks.

    Attributes:
        name: Name of its file.
        seeds: Default seeds.
        baselines: ``'random'`` weights (the default), ``'pixels'`` for probes, or none.
        tasks: The tasks, in their order.
    """

    name: str
    seeds: tuple[int, ...]
    baselines: tuple[str, ...]
    tasks: tuple[SuiteTask, ...]

    def only(
        self, names: Sequence[str] | None, fractions: Sequence[float] | None = None
    ) -> Suite:
        """Return the suite with some of its tasks, in the suite's order; None for all.

        Args:
            names: Names of tasks.
            fractions: Fractions of the labelled images to keep, where a task has them.

        Raises:
            SuiteError: If a task is unknown, or none has such a fraction.
        """
        known = [task.name for task in self.tasks]
        for name in names or ():
            require_name(name, known, f"suite {self.name} has no task")
        chosen = [task for task in self.tasks if not names or task.name in names]
        if fractions:
            kept = [
                task._replace(
                    fractions=tuple(one for one in task.fractions if one in fractions)
                )
                for task in chosen
            ]
            chosen = [task for task in kept if task.fractions]
        if not chosen:
            raise SuiteError(
                f"no task of suite {self.name} has the fractions {fractions}; "
                "add them to its fractions in the suite's config"
            )
        return self._replace(tasks=tuple(chosen))


def read_suite(
    settings: Mapping[str, Any], file: Path, find: Callable[[str], str] = str
) -> Suite:
    """Read a suite from the settings of its config file.

    Args:
        settings: Content of the file.
        file: The file, which is relative paths' base and in messages.
        find: Function that finds a config of the package by its name.

    Raises:
        SuiteError: If a setting is wrong; names the task.
    """
    for key in settings:  # other names are variables
        if key not in SUITE_KEYS and (like := closest(key, SUITE_KEYS, 0.8)):
            raise SuiteError(f"{file}: a suite has no {key}; write {like}")
    tasks = settings.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        raise SuiteError(f"{file} has no tasks; set tasks=dict(NAME=dict(...), ...)")
    baselines = tuple(settings.get("baselines", BASELINES[:1]))
    for name in baselines:
        require_name(name, BASELINES, f"{file}: baselines cannot be")
    read = TaskReader(file, settings.get("pretraining"), find)
    return Suite(
        file.stem,
        tuple(settings.get("seeds", (0,))),
        tuple(dict.fromkeys(baselines)),
        tuple(read.task(name, entry) for name, entry in tasks.items()),
    )


class TaskReader(NamedTuple):
    """Reads the tasks of one suite; see :func:`read_suite`."""

    file: Path
    pretraining: str | None
    find: Callable[[str], str]

    def task(self, name: str, settings: Any) -> SuiteTask:
        """Read one task."""
        where = f"{self.file}: task {name}"
        if not isinstance(settings, Mapping) or "/" in name:
            raise SuiteError(f"{where} is {settings!r}; expected NAME=dict(...)")
        for key in settings:
            require_name(key, TASK_KEYS, f"{where} has an unknown setting")
        probe, config = settings.get("probe"), settings.get("config")
        if (probe is None) == (config is None):
            raise SuiteError(f"{where} needs one of probe=... and config=...")
        if probe is not None:
            require_name(probe, (*FROZEN, *PROTOCOLS), f"{where}: there is no probe")
            if not (config := self.pretraining):
                raise SuiteError(
                    f"{where} is a probe, which needs a backbone and labelled images; "
                    "set pretraining='...' in the suite to the pretraining's config"
                )
        metrics = settings.get("metrics") or (PROBE_METRICS if probe else {})
        if not metrics:
            raise SuiteError(
                f"{where} has no metrics; set metrics={{'COLUMN': 'NAME IN THE LOG'}}, "
                "such as {'box AP': 'coco/bbox_mAP'}"
            )
        return SuiteTask(
            name,
            self.path(str(config)),
            probe,
            {column: metric(value) for column, value in metrics.items()},
            fractions(settings.get("fractions", (1.0,)), where),
            dict(settings.get("options") or {}),
        )

    def path(self, config: str) -> str:
        """Return the path of a config: relative to the suite, or of the package."""
        near = os.path.normpath(self.file.parent / config)
        return near if Path(near).is_file() else self.find(config)


def metric(value: Any) -> Metric:
    """Read a metric: a name, or a pair of a name and a factor."""
    if isinstance(value, str):
        return Metric(value, 0.01 if value in PERCENT else 1.0)
    return Metric(*value)


def fractions(values: Any, where: str) -> tuple[float, ...]:
    """Read fractions of the labelled images, after numbers of labels a class.

    Raises:
        SuiteError: If one is out of range.
    """
    found = [values] if isinstance(values, (int, float)) else list(values)
    try:
        for value in found:
            require_fraction(value)
    except (ValueError, TypeError) as error:
        raise SuiteError(f"{where}: {error}") from None
    return tuple(sorted({float(value) for value in found}, key=label_order))


def require_name(name: str, known: Sequence[str], text: str) -> None:
    """Refuse a name that is not known, and suggest a similar one.

    Raises:
        SuiteError: Lists the known names.
    """
    if name not in known:
        like = closest(name, known)
        meant = f"is {like} meant? " if like else ""
        raise SuiteError(f"{text} {name!r}; {meant}expected any of {', '.join(known)}")
