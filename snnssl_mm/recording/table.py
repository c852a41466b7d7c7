"""A table for the terminal, the README and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable

WIDTH = 140  # columns in a file or a pipe, where rich would use 80 and cut names


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
        """Print the table to the terminal."""
        columns = [
            Column(name, justify="left", no_wrap=True)
            if index < self.words
            else Column(name, justify="right", overflow="fold")
            for index, name in enumerate(self.head)
        ]
        table = RichTable(
            *columns, title=self.caption, title_justify="left", box=box.SIMPLE_HEAD
        )
        for row in self.rows:
            table.add_row(*row)
        console = Console()
        if not console.file.isatty():  # notebooks set FORCE_COLOR: is_terminal is true
            console.width = max(console.width, WIDTH)
        console.print(table, highlight=False)
