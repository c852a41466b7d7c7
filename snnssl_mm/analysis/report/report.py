"""Report on a checkpoint as one HTML page and as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from snnssl_mm.analysis.report.verdicts import Verdict
from snnssl_mm.recording.table import Table


class Picture(NamedTuple):
    """A picture file and what it shows."""

    file: Path
    caption: str

    @property
    def data_uri(self) -> str:
        """The picture as data URI, for a self-contained page."""
        data = base64.b64encode(self.file.read_bytes()).decode()
        return f"data:image/png;base64,{data}"


class Section(NamedTuple):
    """Section of the report.

    Attributes:
        title: Heading.
        text: Paragraphs, in plain text.
        pictures: Pictures below the text.
        tables: Tables below the pictures.
        details: Long tables, collapsed.
        formula: Lines that explain how the numbers are computed.
        command: Command that computed the section.
        verdicts: Interpretation of the numbers, below the heading.
        html: Tables and charts for the page only, below the text.
    """

    title: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    details: Sequence[Table] = ()
    formula: str = ""
    command: str = ""
    verdicts: Sequence[Verdict] = ()
    html: Markup = Markup()

    @property
    def anchor(self) -> str:
        """Anchor of the section for links."""
        letters = (c if c.isalnum() else "-" for c in self.title.lower())
        return "".join(letters).strip("-")


class Fact(NamedTuple):
    """Number (with its unit) for the top of the page, and its verdict."""

    name: str
    value: str
    verdict: Verdict


class Report(NamedTuple):
    """Report on a checkpoint.

    Attributes:
        title: Title of the page.
        subtitle: What was evaluated, and where.
        facts: The most important numbers.
        sections: Sections in order.
        about: Two columns about network, data and training.
    """

    title: str
    subtitle: str
    facts: Sequence[Fact]
    sections: Sequence[Section]
    about: Table = Table(["", ""], [], words=2)

    def html(self) -> str:
        """Render a self-contained HTML page."""
        return template("report.html.j2", autoescape=True).render(report=self)

    def markdown(self, folder: Path) -> str:
        """Render Markdown, with links to pictures relative to ``folder``."""
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
    """Read a template from the folder of this file."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
