"""A report on a checkpoint as one HTML page and as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from snnssl_mm.analysis.report.verdicts import Verdict
from snnssl_mm.recording.table import Table


class Picture(NamedTuple):
    """A picture file and what it shows."""

    file: Path
    caption: str

    @property
    def data_uri(self) -> str:
        """The picture as text, for a page that needs no other file."""
        data = base64.b64encode(self.file.read_bytes()).decode()
        return f"data:image/png;base64,{data}"


class Section(NamedTuple):
    """A part of the report.

    Attributes:
        title: Heading.
        text: Paragraphs, in plain text.
        pictures: Below the text.
        tables: Below the pictures.
        details: Long tables that a reader opens.
        formula: How its numbers come about, in lines.
        command: What computed it, to be pasted.
        verdicts: What its numbers mean, below the heading.
    """

    title: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    details: Sequence[Table] = ()
    formula: str = ""
    command: str = ""
    verdicts: Sequence[Verdict] = ()

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        letters = (c if c.isalnum() else "-" for c in self.title.lower())
        return "".join(letters).strip("-")


class Fact(NamedTuple):
    """A number for the top of the page, its unit included, and what it means."""

    name: str
    value: str
    verdict: Verdict


class Report(NamedTuple):
    """Everything that is said about a checkpoint.

    Attributes:
        title: Of the page.
        subtitle: What was judged, and where.
        facts: The numbers that a reader looks for first.
        sections: In order.
        about: Network, data and training, two columns.
    """

    title: str
    subtitle: str
    facts: Sequence[Fact]
    sections: Sequence[Section]
    about: Table = Table(["", ""], [], words=2)

    def html(self) -> str:
        """One page that needs no other file and no network."""
        return template("report.html.j2", autoescape=True).render(report=self)

    def markdown(self, folder: Path) -> str:
        """The same as Markdown, its pictures linked relative to ``folder``."""
        links = {
            picture.file: Path(picture.file).relative_to(folder).as_posix()
            for section in self.sections
            for picture in section.pictures
        }
        text = template("report.md.j2", autoescape=False).render(
            report=self, links=links
        )
        return text.strip() + "\n"


def template(name: str, autoescape: bool) -> jinja2.Template:
    """Read a template that lies beside this file."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
