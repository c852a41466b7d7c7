"""Directive ``results``: the table of results files, with what made it and when.

```{results} benchmarks/results/probes.json
```
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from docutils import nodes
from results_overview import ResultsOverview
from results_tables import ROOT, markdown
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

UNBROKEN = re.compile(r"(?<=\d) (?=(?:ms|s|h|µs|MiB|GiB)\b)|(?= ±) | (?<=± )")
"""Spaces at which a cell is not broken into lines."""


def committed(files: list[Path]) -> str:
    """Return the day of the files' last commit; empty outside of a repository."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cs", "--", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


class Results(SphinxDirective):
    """The table of one or several results files, or of the model zoo."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Render the files with the function that also fills the README."""
        files = [ROOT / name for name in self.arguments[0].split()]
        for file in files:
            self.env.note_dependency(str(file))
        text = UNBROKEN.sub("\N{NO-BREAK SPACE}", markdown(files))
        sources = ", ".join(f"`{file.relative_to(ROOT)}`" for file in files)
        day = committed(files)
        text += f"\n\nFrom {sources}" + (f", committed on {day}." if day else ".")
        table = nodes.container(classes=["results"])
        table += self.parse_text_to_nodes(text)
        return [table]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("results", Results)
    app.add_directive("results-overview", ResultsOverview)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
