"""Complete configs of the jobs of a suite: options, seed, fraction of the labels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from snnssl_mm.checks.settings import LOADERS, leaf_datasets
from snnssl_mm.probing.protocols import protocol_of
from snnssl_mm.transfer.suites import SuiteError, SuiteTask


def task_config(
    task: SuiteTask, cfg: Config, options: Mapping[str, Any], data: str | None = None
) -> Config:
    """Apply the options of a suite and of the command to the config of a task.

    Args:
        task: The task.
        cfg: Content of its config file; not changed.
        options: Settings by dotted keys, for all tasks or for one as ``TASK:KEY``.
        data: Folder to use in place of the config's ``data_root``.

    Raises:
        SuiteError: If ``data`` is given and the config has no ``data_root``.
    """
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(task.options)
    if data is not None:
        move_data(cfg, data, task)
    chosen = {}
    for key, value in options.items():
        name, colon, rest = key.partition(":")
        if not colon:
            chosen[key] = value
        elif name == task.name:
            chosen[rest] = value
    cfg.merge_from_dict(chosen)
    return cfg


def move_data(cfg: Config, folder: str, task: SuiteTask) -> None:
    """Replace the config's ``data_root`` in loaders and evaluators, also in paths."""
    root = cfg.get("data_root")
    if not isinstance(root, str):
        raise SuiteError(
            f"task {task.name}: {task.config} has no data_root that --data could "
            f"replace; set {task.name}:train_dataloader.dataset.data_root=... and the "
            "other loaders by --cfg-options"
        )
    old, new = root.rstrip("/"), folder.rstrip("/")

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            inside = value == old or value.startswith(f"{old}/")
            return new + value[len(old) :] if inside else value
        if isinstance(value, dict):
            return {key: moved(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(moved, value))
        return value

    evaluators = ("val_evaluator", "test_evaluator")
    for name in ("data_root", *LOADERS, *evaluators):
        if name in cfg:
            cfg[name] = moved(cfg[name])


def job_config(task: SuiteTask, cfg: Config, seed: int, fraction: float) -> Config:
    """Set the seed, and keep a fraction of the labelled training images.

    The number of iterations does not depend on the fraction. The images depend on the
    seed only, and smaller fractions are parts of larger ones.

    Args:
        task: The task.
        cfg: From :func:`task_config`; not changed.
        seed: Seed of the weights, the training and the fraction.
        fraction: Fraction in (0, 1], or labels a class above 1, whatever the probe's
            protocol has; frozen probes apply it to the features.
    """
    cfg = copy.deepcopy(cfg)
    cfg.randomness = {**(cfg.get("randomness") or {}), "seed": seed}
    if fraction == 1 or task.frozen:
        return cfg
    if task.probe:
        own = protocol_of(cfg, task.probe).fraction
        share = fraction * own if fraction < 1 else fraction
        cfg.merge_from_dict({"probes": {task.probe: {"fraction": share}}})
        return cfg
    inside = (cfg.get("train_dataloader") or {}).get("dataset")
    for _, settings in list(leaf_datasets(inside, "train_dataloader.dataset")):
        full = copy.deepcopy(dict(settings))
        settings.clear()
        settings.update(
            type="snnssl_mm.RepeatedFraction",
            fraction=fraction,
            seed=seed,
            dataset=full,
        )
    return cfg


def random_start(cfg: Config) -> Config:
    """Return the config without any weights that it starts from."""
    cfg = copy.deepcopy(cfg)
    cfg.load_from = None
    model = cfg.model
    for owner in (model, model.get("backbone") or {}):
        for key in ("init_cfg", "pretrained"):
            if owner.get(key) is not None and names_weights(owner[key]):
                owner[key] = None
    return cfg


def names_weights(value: Any) -> bool:
    """Whether a setting names a checkpoint."""
    return isinstance(value, str) or "checkpoint" in value
