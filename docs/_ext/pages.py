"""Pages generated before the build: zoo, configs, commands, API.

Each is a MyST file in a folder that git ignores; a file is only written if its text
changes, so that Sphinx rebuilds what changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import api_pages
import command_pages
import config_pages
import zoo_pages
from sphinx.application import Sphinx

GENERATED = {
    "zoo": zoo_pages.pages,
    "configs": config_pages.pages,
    "commands": command_pages.pages,
    "api": api_pages.pages,
}
"""Folder below docs, and the function that yields its files: name and text."""


def write(folder: Path, pages: Iterator[tuple[str, str]]) -> None:
    """Write pages into a folder; remove pages of earlier builds."""
    folder.mkdir(exist_ok=True)
    left = set(folder.glob("*.md"))
    for name, text in pages:
        file = folder / f"{name}.md"
        left.discard(file)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    for file in left:
        file.unlink()


def generate(app: Sphinx) -> None:
    """Write all generated pages."""
    for folder, pages in GENERATED.items():
        write(Path(app.srcdir) / folder, pages())


def setup(app: Sphinx) -> dict[str, bool]:
    """Generate pages before Sphinx looks for its sources."""
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
