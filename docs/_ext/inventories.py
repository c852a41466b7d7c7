"""Links to the documentation of other projects, without a network.

``inventories.toml`` lists the names that this project's signatures mention, and where
their projects document them; intersphinx reads them as files in its own format.
"""

from __future__ import annotations

import tomllib
import zlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

LIST = Path(__file__).with_name("inventories.toml")


def inventory(project: str, names: dict[str, list[str]]) -> bytes:
    """Return an inventory (version 2) of names, by their kind and page."""
    lines = []
    for page, listed in names.items():
        for word in listed:
            name, _, kind = word.partition(" ")
            url = page.replace("NAME", name) + f"#{name}"
            lines.append(f"{name} py:{kind or 'class'} 1 {url} -")
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return head.encode() + zlib.compress("\n".join(lines).encode() + b"\n")


def prepare(app: Sphinx, config: Config) -> None:
    """Write the inventories into the build folder and name them to intersphinx."""
    folder = Path(app.doctreedir) / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, about in tomllib.loads(LIST.read_text()).items():
        file = folder / f"{project}.inv"
        file.write_bytes(inventory(project, about["pages"]))
        mapping[project] = (about["url"], (str(file),))
    config.intersphinx_mapping = mapping


def setup(app: Sphinx) -> dict[str, bool]:
    """Prepare the inventories before intersphinx reads them."""
    app.connect("config-inited", prepare, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
