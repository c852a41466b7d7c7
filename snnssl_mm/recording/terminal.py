"""The console that tables and progress bars are printed to."""

from __future__ import annotations

import sys

from rich.console import Console


def console() -> Console:
    """Return rich's console; only a terminal counts as one.

    Jupyter sets ``FORCE_COLOR``, by which rich takes a pipe for a terminal. A process
    without standard output has None for it.
    """
    return Console(force_terminal=sys.stdout is not None and sys.stdout.isatty())
