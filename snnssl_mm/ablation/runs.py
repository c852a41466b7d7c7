"""Config and evaluation of one run of an ablation."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from mmengine.config import Config

from snnssl_mm.ablation.cells import Cell
from snnssl_mm.ablation.data_axes import apply_data_axes
from snnssl_mm.ablation.objectives import apply_objective
from snnssl_mm.ablation.results import STATISTICS
from snnssl_mm.checkpoints.resuming import recorded_checkpoint
from snnssl_mm.probing import (
    eval_loaders,
    knn_accuracy,
    labelled_features,
    linear_accuracy,
    load_trained_model,
)
from snnssl_mm.recording.probe_names import FROZEN
from snnssl_mm.recording.results_file import Row
from snnssl_mm.recording.run_log import read_scalars

PROBED = "ablation_probes.json"  # beside those of the monitors


def run_config(
    own: Config, cell: Cell, seed: int, find: Callable[[str], str]
) -> Config:
    """Return the config of a run; ``snnssl train`` accepts it, too.

    Args:
        own: Config of pretraining with a loss of the method's; it is not changed.
        cell: What is changed in it.
        seed: Seed of the run.
        find: Finds a config of the package, see :func:`apply_objective`.
    """
    cfg = copy.deepcopy(own)
    apply_objective(cfg, cell.loss, find)
    hooks = cfg.setdefault("default_hooks", {})
    hooks.pop("path_schedule", None)  # the cell has its own
    cfg.model.pop("train_time_steps", None)
    hooks["peak_memory"] = dict(type="snnssl_mm.PeakMemoryHook")
    cfg.merge_from_dict({**cell.config_options(), "randomness.seed": seed})
    apply_data_axes(cfg, cell)
    return cfg


def evaluate(folder: Path) -> dict[str, Any]:
    """Probe the last checkpoint of a run; write and return the accuracies."""
    cfg = Config.fromfile(folder / "config.py")
    model = load_trained_model(cfg, recorded_checkpoint(folder))
    loaders = eval_loaders(cfg)
    results: dict[str, Any] = {}
    for kind in STATISTICS:
        features = labelled_features(model, loaders, kind == STATISTICS[0])
        accuracies = knn_accuracy(features), linear_accuracy(features)
        results[kind] = dict(zip(FROZEN, accuracies, strict=True))
    (folder / PROBED).write_text(json.dumps(results) + "\n")
    return results


def row_of(folder: Path) -> Row:
    """Return what a finished run adds to its row: accuracies, health, length, cost.

    ``step_ms`` is the mean time of an iteration, data included and without the first
    logged ones, and ``memory`` the peak in MiB: of torch on a GPU, else resident. Both
    are of the last start of the run that trained.
    """
    starts = [[row for row in rows if "loss" in row] for rows in read_scalars(folder)]
    logged = [rows for rows in starts if rows][-1]
    last, times = logged[-1], [row["time"] for row in logged[1:] if "time" in row]
    # If both views train on the analog path, there are no spikes and no firing rate.
    health = {name: last.get(name) for name in ("embedding_std", "firing_rate")}
    return {
        **json.loads((folder / PROBED).read_text()),
        **health,
        "epochs": last["epoch"],
        "iterations": last["step"],
        "step_ms": round(1000 * fmean(times), 1) if times else None,
        "memory": round(last["memory"]) if "memory" in last else None,
    }
