"""A page for every config: what it inherits, its text, and the complete config."""

from __future__ import annotations

import ast
import os.path
import pprint
from collections.abc import Iterator
from pathlib import Path

from markdown_tables import table
from markup import TASKS, toctree
from mmengine.config import Config
from results_tables import ROOT

CONFIGS = ROOT / "configs"


def configs(folder: str) -> list[Path]:
    """List the configs of a folder."""
    return sorted((CONFIGS / folder).glob("*.py"))


def comments(file: Path) -> list[str]:
    """Return the lines of comment at the top of a config."""
    lines = []
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines


def title(file: Path) -> str:
    """Return the first line of a config, which describes it, without its links."""
    first, *rest = comments(file) or [file.stem]
    if first.count("(") > first.count(")"):
        first = f"{first} {rest[0]}".partition(").")[0] + ")"
    return first.partition(", http")[0].rstrip(".")


def bases(file: Path) -> list[str]:
    """List the configs in ``_base_``, as the file names them."""
    for statement in ast.parse(file.read_text()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="_base_")], value=value):
                found = ast.literal_eval(value)
                return [found] if isinstance(found, str) else found
    return []


def inheritance(file: Path, indent: str = "") -> Iterator[str]:
    """Yield a nested list of what a config inherits, with links to other pages."""
    for base in bases(file):
        inherited = file.parent / base
        if "::" in base:
            yield f"{indent}* `{base}`"
            continue
        name = os.path.relpath(inherited, CONFIGS)
        if Path(name).parts[0] == "_base_":
            yield f"{indent}* `configs/{name}`"
        else:
            yield f"{indent}* [`configs/{name}`]({inherited.stem}.md)"
        yield from inheritance(inherited.resolve(), indent + "  ")


def resolved(file: Path) -> str:
    """Return the complete config as Python."""
    return "\n".join(
        f"{key} = {pprint.pformat(value, width=88, sort_dicts=False)}"
        for key, value in Config.fromfile(file).to_dict().items()
    )


def page(file: Path) -> str:
    """Return the page of a config."""
    name = file.relative_to(ROOT)
    inherits = "\n".join(inheritance(file)) or "Nothing."
    return f"""# {file.stem}

{title(file)}.

```bash
snnssl train {name}
```

From another folder, inherit it: `_base_ = "snnssl_mm::{file.relative_to(CONFIGS)}"`.

## Inherits

{inherits}

## Config

```{{literalinclude}} ../../{name}
:language: python
:caption: {name}
```

## Complete config

`snnssl config {name}` prints it.

:::{{dropdown}} Everything that the config contains
```python
{resolved(file)}
```
:::
"""


def listing(task: str) -> list[str]:
    """Return a table of the configs of a task."""
    rows = [[f"[{file.stem}]({file.stem}.md)", title(file)] for file in configs(task)]
    return table(["config", "what"], rows)


def task_page(task: str) -> str:
    """Return the page of a task."""
    names = toctree(file.stem for file in configs(task))
    return "\n".join([f"# {TASKS[task]} configs", "", *listing(task), "", names])


def index() -> str:
    """Return the page that lists all configs."""
    lines = [
        "# Configs",
        "",
        "Every config of the package, by task. Train one with `snnssl train PATH`, or",
        "inherit it in a file of your own:",
        '`_base_ = "snnssl_mm::selfsup/spikformer_ctl.py"`.',
    ]
    for task, heading in TASKS.items():
        lines += ["", f"## {heading}", "", *listing(task)]
    return "\n".join([*lines, "", toctree(TASKS)])


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    yield "index", index()
    for task in TASKS:
        yield task, task_page(task)
        for file in configs(task):
            yield file.stem, page(file)
