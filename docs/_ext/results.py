"""Directive ``results``: the table of a results file, with what made it and when.

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


def committed(file: Path) -> str:
    """Return the day of the file's last commit; empty outside of a repository."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cs", "--", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


class Results(SphinxDirective):
    """The table of a results file, or of the model zoo."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Render the file with the function that also fills the README."""
        file = ROOT / self.arguments[0]
        self.env.note_dependency(str(file))
        text = UNBROKEN.sub("\N{NO-BREAK SPACE}", markdown(file))
        day = committed(file)
        text += f"\n\nFrom `{self.arguments[0]}`"
        text += f", committed on {day}." if day else "."
        table = nodes.container(classes=["results"])
        table += self.parse_text_to_nodes(text)
        return [table]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("results", Results)
    app.add_directive("results-overview", ResultsOverview)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
