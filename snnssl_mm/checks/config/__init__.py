"""Checks of a config before training; functions ``check_*`` return problems."""

from __future__ import annotations

import copy
import tempfile
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from snnssl_mm.checks.config.build import build_unfilled
from snnssl_mm.checks.config.keys import check_keys
from snnssl_mm.checks.config.names import check_names
from snnssl_mm.checks.config.problem import Problem, error, warning
from snnssl_mm.checks.config.schedule import check_iterations, check_schedule
from snnssl_mm.checks.config.weights import check_weights
from snnssl_mm.checks.data import check_data, require_same_numbering
from snnssl_mm.checks.preflight import build_loops, run_preflight
from snnssl_mm.checks.samples import MAX_FILES
from snnssl_mm.checks.settings import LOADERS
from snnssl_mm.datasets.data_error import DataError, step

__all__ = ["Problem", "check_config", "check_text"]


def check_text(cfg: Config) -> list[Problem]:
    """Check the text of a config: names, arguments, keys, schedule.

    Reads no data and builds nothing, but imports the modules of the types.

    Args:
        cfg: Config of any scope. Its default scope becomes the global one, as in a
            run.
    """
    init_default_scope(cfg.get("default_scope") or "mmengine")
    return [*check_keys(cfg), *check_names(cfg), *check_schedule(cfg)]


def check_config(
    cfg: Config, data: bool = True, max_files: int | None = MAX_FILES
) -> list[Problem]:
    """Find all mistakes that can be found without training.

    Besides those of :func:`check_text`: weights that do not fit or have a wrong prefix,
    and what the pre-flight finds, such as incompatible layers. The model is built on
    the meta device if possible.

    Args:
        cfg: Config of any scope; see :func:`check_text`.
        data: Whether data and weights must exist.
        max_files: Number of files to load from each dataset; None for all.
    """
    problems = check_text(cfg)
    wrong_names = any(p.level == "error" and "model" in p.key for p in problems)
    model = None
    if cfg.get("model") and not wrong_names:
        model, reasons = build_unfilled(cfg)
        problems += reasons
    problems += check_weights(cfg, model, data)
    if data:
        problems += check_data_files(cfg, max_files)
    if data and not any(p.level == "error" for p in problems):
        problems += check_first_batch(cfg)
    return problems


def check_data_files(cfg: Config, max_files: int | None) -> list[Problem]:
    """Check the files of all data loaders and evaluators."""
    problems: list[Problem] = []
    numbered: dict[str, list[str]] = {}
    for name in LOADERS:
        try:
            numbered |= check_data(cfg, [name], max_files)
            require_same_numbering(numbered)
        except DataError as cause:
            problems.append(error(f"{name}.dataset", str(cause)))
    return problems


def check_first_batch(cfg: Config) -> list[Problem]:
    """Run one batch through a model with random weights, and through all evaluators."""
    if not all(cfg.get(k) for k in ("model", "train_dataloader", "optim_wrapper")):
        return []
    if cfg.get("runner_type"):
        return [warning("runner_type", "no batch is run here; training runs one")]
    trial = copy.deepcopy(cfg)
    without_weights(trial.model)
    trial.update(load_from=None, resume=False, launcher="none", log_level="WARNING")
    if trial.get("visualizer"):  # mmengine keeps it, and would reuse its folder
        trial.visualizer.vis_backends = []
    with tempfile.TemporaryDirectory() as trial.work_dir:
        try:
            with step("building the Runner", avoidable=False):
                runner = Runner.from_cfg(trial)
                build_loops(runner)
                runner.model.init_weights()
            for part in (runner.logger, *runner.logger.handlers):
                part.setLevel("INFO")  # building the Runner logs long descriptions
            run_preflight(runner)
        except DataError as cause:
            return [error("pre-flight", str(cause))]
        return check_iterations(cfg, len(runner.train_dataloader))


def without_weights(model: Any) -> None:
    """Remove the checkpoints of a model's parts, except those of a frozen teacher."""
    named = model.items() if isinstance(model, dict) else enumerate(model)
    for name, part in named:
        if isinstance(part, (dict, list)) and name != "frozen_teacher":
            without_weights(part)
    if isinstance(model, dict):
        model.pop("pretrained", None)
        if "checkpoint" in (model.get("init_cfg") or ()):
            del model["init_cfg"]
