"""A table for the terminal, the README and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable

WIDTH = 140  # columns in a file or a pipe, where rich assumes 80


class Table(NamedTuple):
    """Table of text cells.

    Attributes:
        head: Names of the columns.
        rows: Cells of each row.
        caption: Description of the table.
        words: Number of columns, from the left, that contain words; the others contain
            numbers and are right-aligned.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: int = 1

    def markdown(self) -> list[str]:
        """Return the lines of a Markdown table, without the caption."""
        marks = [
            "---" if index < self.words else "---:" for index in range(len(self.head))
        ]
        lines = [self.head, marks, *self.rows]
        return [f"| {' | '.join(line)} |" for line in lines]

    def print(self) -> None:
        """Print the table to the terminal; never cut a cell, even of a narrow one."""
        columns = [
            Column(
                name,
                justify="left" if index < self.words else "right",
                no_wrap=index < self.words,
                min_width=max(map(len, [*name.split(), *cells])),
            )
            for index, (name, *cells) in enumerate(
                zip(self.head, *self.rows, strict=True)
            )
        ]
        table = RichTable(
            *columns, title=self.caption, title_justify="left", box=box.SIMPLE_HEAD
        )
        for row in self.rows:
            table.add_row(*row)
        console = Console()
        widest = console.options.update(max_width=10_000)
        least = table.__rich_measure__(console, widest).minimum
        console.width = max(console.width, least, 0 if console.is_terminal else WIDTH)
        console.print(table, highlight=False)
