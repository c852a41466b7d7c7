"""Hooks that a config removes by their name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from snnssl_mm.compat.status import Status, module_of

OWN_NAMES = (
    *("runtime_info", "timer", "sampler_seed"),
    *("logger", "param_scheduler", "checkpoint"),
)
"""Entries of ``default_hooks`` that a Runner has by itself."""


def removed_hooks() -> Status:
    """``default_hooks = dict(knn=None)``: AssertionError.

    Cause: mmengine's Runner accepts None for its own six default hooks only; an entry
    of any other name must be a hook. A config could change an inherited hook but not
    remove it.
    Removable: when ``register_default_hooks`` skips every entry that is None; in
    onedl-mmengine 0.10.12 it does not.
    """
    module = module_of("mmengine.runner")
    if module is None:
        return Status("not applicable", "mmengine is not installed")
    for runner in (module.Runner, module.FlexibleRunner):
        register = runner.register_default_hooks
        if not hasattr(register, "__wrapped__"):
            runner.register_default_hooks = without_removed(register)
    return Status("cured", "None removes any entry of default_hooks")


def without_removed(register: Callable[..., None]) -> Callable[..., None]:
    """Wrap a method ``register_default_hooks``: skip hooks that are set to None."""

    @functools.wraps(register)
    def register_default_hooks(
        self: Any, hooks: Mapping[str, Any] | None = None
    ) -> None:
        kept = {
            name: hook
            for name, hook in (hooks or {}).items()
            if hook is not None or name in OWN_NAMES
        }
        register(self, kept)

    return register_default_hooks
