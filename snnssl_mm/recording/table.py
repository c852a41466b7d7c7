"""A table for the terminal, the README and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table as RichTable

from snnssl_mm.recording.terminal import console

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
        """Print the table to the terminal; no cell is cut, however narrow it is."""
        shown = console()
        if not shown.is_terminal:
            shown.width = max(shown.width, WIDTH)
        table = self._drawn(folded=False)
        natural = table.__rich_measure__(shown, shown.options.update(max_width=9999))
        if natural.maximum > shown.width:
            table = self._drawn(folded=True)
            widths = sum(column.width or 0 for column in table.columns)
            shown.width = max(shown.width, widths + 3 * len(table.columns) + 1)
        shown.print(table, highlight=False)

    def _drawn(self, folded: bool) -> RichTable:
        """Draw the table; ``folded`` breaks the numbers' headings at every space."""
        table = RichTable(title=self.caption, title_justify="left", box=box.SIMPLE_HEAD)
        for index, (name, *cells) in enumerate(zip(self.head, *self.rows, strict=True)):
            is_word = index < self.words
            heading = [name] if is_word else name.split()
            table.add_column(
                name,
                justify="left" if is_word else "right",
                no_wrap=is_word,
                width=max(map(len, [*heading, *cells])) if folded else None,
            )
        for row in self.rows:
            table.add_row(*row)
        return table
