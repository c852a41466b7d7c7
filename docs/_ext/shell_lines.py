r"""A lexer for notebooks: shell lines that continue after a backslash.

IPython's own lexer ends a line such as ``!snnssl train config.py \`` at the backslash
and marks it as an error.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ipython_pygments_lexers import IPython3Lexer
from pygments.lexer import bygroups, using
from pygments.lexers.shell import BashLexer
from pygments.token import Operator, Text


class ShellLinesLexer(IPython3Lexer):
    """Python with IPython's magics and shell commands of one or more lines."""

    tokens: ClassVar[dict[str, Any]] = {
        **IPython3Lexer.tokens,
        "root": [
            (
                r"^(!)((?:\\\n|[^\n])+)(\n)",
                bygroups(Operator, using(BashLexer), Text),
            ),
            *IPython3Lexer.tokens["root"],
        ],
    }


def setup(app: Any) -> dict[str, bool]:
    """Register the lexer under the name that notebooks use."""
    app.add_lexer("ipython3", ShellLinesLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
