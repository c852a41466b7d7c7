"""A table that the terminal, the README and the report show alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable

WIDTH = 140  # columns of a file or a pipe; of those rich would take 80 and cut names


class Table(NamedTuple):
    """Cells as text.

    Attributes:
        head: Names of the columns.
        rows: Cells of each row.
        caption: What the table shows.
        words: How many columns, from the left, are words; the others are numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: int = 1

    def markdown(self) -> list[str]:
        """Lines of a Markdown table, without the caption."""
        marks = [
            "---" if index < self.words else "---:" for index in range(len(self.head))
        ]
        lines = [self.head, marks, *self.rows]
        return [f"| {' | '.join(line)} |" for line in lines]

    def print(self) -> None:
        """Print it to the terminal."""
        columns = [
            Column(name, justify="left", no_wrap=True)
            if index < self.words
            else Column(name, justify="right")
            for index, name in enumerate(self.head)
        ]
        table = RichTable(
            *columns, title=self.caption, title_justify="left", box=box.SIMPLE_HEAD
        )
        for row in self.rows:
            table.add_row(*row)
        console = Console()
        if not console.is_terminal:
            console.width = max(console.width, WIDTH)
        console.print(table, highlight=False)
