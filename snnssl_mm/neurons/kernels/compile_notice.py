"""Notice on the screen when numba compiles kernels, which takes half a minute."""

from __future__ import annotations

import sys
from typing import Any

from numba.core import event

TEXT = (
    "compiling kernels for this processor (about half a minute, once: they are kept "
    "on disk)"
)


class CompileNotice(event.Listener):
    """Print one line before the first of this package's kernels is compiled.

    Kernels that are found in the cache on disk are not compiled: nothing is printed.
    """

    def __init__(self) -> None:
        self.printed = False

    def on_start(self, started: Any) -> None:
        """Print the line, unless it has been printed."""
        function = started.data["dispatcher"].py_func
        if not self.printed and function.__module__.startswith("snnssl_mm."):
            self.printed = True
            print(TEXT, file=sys.stderr, flush=True)

    def on_end(self, ended: Any) -> None:
        """Print nothing."""


def announce_compilation() -> None:
    """Register the notice for this process."""
    event.register("numba:compile", CompileNotice())
