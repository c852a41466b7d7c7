"""A progress bar for a terminal, which vanishes when the work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmengine.dist import is_main_process
from rich.progress import track

from snnssl_mm.recording.terminal import console


def progress(items: Iterable, description: str, total: float | None = None) -> Iterator:
    """Yield items and show a progress bar meanwhile.

    Nothing is written to a file or a pipe, nor by other processes than rank 0, so that
    logs and the output of notebooks contain results only.

    Args:
        items: What to iterate over.
        description: Text in front of the bar.
        total: Number of items, if they have no length.
    """
    shown = console()
    hidden = not (shown.is_terminal and is_main_process())
    yield from track(
        items, description, total, console=shown, transient=True, disable=hidden
    )
