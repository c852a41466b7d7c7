"""Mend a module right after somebody imports it, and not before."""

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
        function: Applies it; harmless when repeated.
        module: What it mends; empty if the training command asks for it.
        before: Whether it must act before the module's own code runs.
    """

    function: Callable[[], Status]
    module: str = ""
    before: bool = False


class MendingFinder(importlib.abc.MetaPathFinder):
    """Find a module that has workarounds, with a loader that applies them."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Workaround]] = {}
        self.applied: set[Workaround] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Leave the finding to the others; wrap the loader that they found."""
        rows = self.waiting.pop(name, None)
        if rows is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            self.waiting[name] = rows
            return None
        run = spec.loader.exec_module

        def run_and_mend(module: Any) -> None:
            try:
                self.apply(row for row in rows if row.before)
                run(module)
            except BaseException:
                self.waiting[name] = rows  # the next import tries again
                raise
            self.apply(row for row in rows if not row.before)

        spec.loader.exec_module = run_and_mend  # type: ignore[method-assign]
        return spec

    def mend(self, rows: Iterable[Workaround]) -> None:
        """Apply what concerns modules that are there; let the others wait.

        What is applied or waits already is left alone.
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
        """Apply workarounds, and remember those that were."""
        for row in rows:
            row.function()
            self.applied.add(row)


FINDER = MendingFinder()
