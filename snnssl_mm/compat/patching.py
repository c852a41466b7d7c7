"""Patching of modules at the moment of their import."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from snnssl_mm.compat.status import Status


class Workaround(NamedTuple):
    """A row of :data:`snnssl_mm.compat.WORKAROUNDS`.

    Attributes:
        function: Applies the workaround; idempotent.
        module: The module that it patches; empty if the training command applies it.
        before: Whether it must be applied before the module's own code runs.
    """

    function: Callable[[], Status]
    module: str = ""
    before: bool = False


class PatchingFinder(importlib.abc.MetaPathFinder):
    """Meta path finder whose loaders apply the workarounds of the imported module."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Workaround]] = {}
        self.applied: set[Workaround] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Let the other finders find the module, and wrap its loader."""
        rows = self.waiting.pop(name, None)
        if rows is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            self.waiting[name] = rows
            return None
        run = spec.loader.exec_module

        def run_and_patch(module: Any) -> None:
            try:
                self.apply(row for row in rows if row.before)
                run(module)
            except BaseException:
                self.waiting[name] = rows  # the next import tries again
                raise
            self.apply(row for row in rows if not row.before)

        spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec

    def patch(self, rows: Iterable[Workaround]) -> None:
        """Apply workarounds of imported modules now, and others at their import.

        Workarounds that are applied or waiting already are skipped.
        """
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        for row in rows:
            if row in self.applied or row in self.waiting.get(row.module, ()):
                continue
            if row.module in sys.modules:
                self.apply([row])
            else:
                self.waiting.setdefault(row.module, []).append(row)

    def apply(self, rows: Iterable[Workaround]) -> None:
        """Apply workarounds, and record them as applied."""
        for row in rows:
            row.function()
            self.applied.add(row)


FINDER = PatchingFinder()
