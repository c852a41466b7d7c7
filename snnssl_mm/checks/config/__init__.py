"""Find mistakes in a config before any time is spent on training with it."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.registry import init_default_scope

from snnssl_mm.checks.config.files import check_files
from snnssl_mm.checks.config.keys import check_keys
from snnssl_mm.checks.config.names import check_names
from snnssl_mm.checks.config.problem import Problem
from snnssl_mm.checks.config.schedule import check_schedule
from snnssl_mm.checks.config.structure import build_unfilled, check_channels
from snnssl_mm.checks.config.weights import check_weights

__all__ = ["Problem", "check_config", "check_text"]


def check_text(cfg: Config) -> list[Problem]:
    """Find what the text of a config shows: names, arguments, keys, schedule.

    Reads no data and builds nothing, but imports what the types name.

    Args:
        cfg: Config of any scope. Its default scope is the global one from now on, as
            in a run.
    """
    init_default_scope(cfg.get("default_scope") or "mmengine")
    return [*check_keys(cfg), *check_names(cfg), *check_schedule(cfg)]


def check_config(cfg: Config, data: bool = True) -> list[Problem]:
    """Find all mistakes that show without training.

    Besides those of :func:`check_text`: channels that do not fit, weights that do not
    fit or whose prefix is wrong, missing data. The model is built without memory for
    its tensors, where it can be.

    Args:
        cfg: Config of any scope; see :func:`check_text`.
        data: Whether data and weights have to be there.
    """
    problems = check_text(cfg)
    wrong_names = any(p.level == "error" and "model" in p.key for p in problems)
    model = None
    if cfg.get("model") and not wrong_names:
        model, reasons = build_unfilled(cfg)
        problems += reasons
    if model is not None:
        problems += check_channels(cfg, model)
    problems += check_weights(cfg, model, data)
    return problems + (check_files(cfg) if data else [])
