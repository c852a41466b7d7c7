"""Check of top-level keys: misspelt ones, and those of OpenMMLab 1.x."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.runner import FlexibleRunner, Runner

from snnssl_mm.checks.config.problem import Problem, closest, error, warning
from snnssl_mm.checks.settings import LOADERS

RUNNER_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    *inspect.signature(FlexibleRunner.__init__).parameters,
} - {"self", "cfg"}
OTHER_KEYS = {"custom_imports", "runner_type", "tta_model", *LOADERS}
OLD_KEYS = {
    "data": "train_dataloader, val_dataloader and test_dataloader",
    "optimizer": "optim_wrapper=dict(optimizer=...)",
    "optimizer_config": "optim_wrapper",
    "lr_config": "param_scheduler",
    "runner": "train_cfg",
    "evaluation": "val_evaluator and train_cfg=dict(val_interval=...)",
    "checkpoint_config": "default_hooks=dict(checkpoint=...)",
    "log_config": "default_hooks=dict(logger=...)",
    "resume_from": "resume=True and load_from",
}
"""Keys of OpenMMLab 1.x, which a Runner ignores."""


def check_keys(cfg: Mapping[str, Any]) -> list[Problem]:
    """Find misspelt, outdated and missing top-level keys."""
    problems = []
    known = RUNNER_KEYS | OTHER_KEYS
    for key in set(cfg) - known:
        like = closest(key, known, 0.87)
        if like:
            # A variable may have any name, but one this similar is a misspelt key.
            problems.append(error(key, f"the Runner reads no such key; write {like}"))
        elif key in OLD_KEYS and key not in stock_variables(cfg):
            text = f"a key of OpenMMLab 1.x, now ignored; write {OLD_KEYS[key]}"
            problems.append(warning(key, text))
    for key in missing(cfg):
        text = "is missing, which training needs; inherit a config that has it"
        problems.append(warning(key, text))
    return problems + repeated_hooks(cfg)


def missing(cfg: Mapping[str, Any]) -> list[str]:
    """Return the keys that training needs and the config does not have."""
    needed = ("model", "train_dataloader", "train_cfg", "optim_wrapper")
    return [key for key in needed if not cfg.get(key)]


def misspelt(key: str, cfg: Mapping[str, Any]) -> str | None:
    """Return the top-level key that a new key of ``--cfg-options`` resembles."""
    return closest(key, {*cfg, *RUNNER_KEYS, *OTHER_KEYS}, 0.87)


def stock_variables(cfg: Mapping[str, Any]) -> set[str]:
    """Return old keys that stock configs use as variables."""
    return {"optimizer"} if (cfg.get("optim_wrapper") or {}).get("optimizer") else set()


def repeated_hooks(cfg: Mapping[str, Any]) -> list[Problem]:
    """Warn of hooks that stand in ``default_hooks`` and again in ``custom_hooks``."""
    named = {
        hook["type"]: name
        for name, hook in (cfg.get("default_hooks") or {}).items()
        if isinstance(hook, Mapping) and "type" in hook
    }
    return [
        warning(
            f"custom_hooks[{index}]",
            f"{hook['type']} runs twice, as default_hooks has it; change it there: "
            f"default_hooks=dict({named[hook['type']]}=...)",
        )
        for index, hook in enumerate(cfg.get("custom_hooks") or [])
        if isinstance(hook, Mapping) and hook.get("type") in named
    ]
