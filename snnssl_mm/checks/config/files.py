"""Whether the data that a config reads are there, and fit its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from snnssl_mm.checks.config.names import LOADERS
from snnssl_mm.checks.config.problem import Problem, error
from snnssl_mm.checks.data import check_data, leaf_datasets
from snnssl_mm.checks.data_error import DataError, require_folder

GENERATED = ("DigitScenes", "MultiDigitDetection", "MultiDigitSegmentation")


def check_files(cfg: Config) -> list[Problem]:
    """Look at the files of all data loaders and evaluators."""
    problems = []
    for name in LOADERS:
        try:
            check_data(cfg, [name])
            for settings in leaf_datasets((cfg.get(name) or {}).get("dataset")):
                if str(settings["type"]).endswith("ImageFolder"):
                    prefix = settings.get("data_prefix") or ""
                    folder = Path(settings.get("data_root") or "", prefix)
                    require_folder(str(folder), f"{name}.dataset")
        except DataError as cause:
            problems.append(error(f"{name}.dataset", str(cause)))
    for name in ("val", "test"):
        datasets = leaf_datasets((cfg.get(f"{name}_dataloader") or {}).get("dataset"))
        if not any(str(one["type"]).endswith(GENERATED) for one in datasets):
            problems += evaluator(cfg.get(f"{name}_evaluator"), f"{name}_evaluator")
    return problems


def evaluator(found: Any, key: str) -> list[Problem]:
    """Look for annotation files of metrics."""
    metrics = found if isinstance(found, (list, tuple)) else [found]
    return [
        error(f"{key}.ann_file", f"{path} does not exist; check the path")
        for metric in metrics
        if isinstance(metric, Mapping)
        and (path := metric.get("ann_file"))
        and "://" not in path
        and not metric.get("backend_args")
        and not Path(path).is_file()
    ]
