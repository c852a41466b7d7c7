"""The report page: whole, safe, and without anything from elsewhere."""

import base64
import re
from html.parser import HTMLParser

import pytest

from snnssl_mm.analysis.report.report import Fact, Picture, Report, Section
from snnssl_mm.analysis.report.verdicts import Verdict
from snnssl_mm.recording.table import Table

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
VOID = {"meta", "img", "link", "br"}


class Reader(HTMLParser):
    """Collects tags and texts; fails where tags do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.text = [], [], [], [], ""

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def report(tmp_path):
    file = tmp_path / "a picture.png"
    file.write_bytes(PNG)
    sections = [
        Section(
            "Firing rates",
            ["Of <b>all</b> & every"],
            [Picture(file, "rates")],
            [Table(["layer", "%"], [["stem", "1 < 2"]], "rows")],
            [Table(["long"], [["hidden cell"]], "all layers")],
            "E = mc",
            "python tools/x.py 'a b'",
            [Verdict("poor", "2 < 3 layers")],
        ),
        Section("Neighbours", ["none"]),
    ]
    facts = [Fact("k-NN", "88.2 %", Verdict("good", "above raw pixels"))]
    about = Table(["", ""], [["network", "Spikformer"]], words=2)
    return Report("spikformer", "epoch_28.pth", facts, sections, about)


def test_page_is_whole_and_needs_nothing_else(report):
    page = Reader()
    html = report.html()
    page.feed(html)
    assert page.open == []
    assert page.links == [f"#{name}" for name in page.ids]
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert base64.b64decode(page.sources[0].partition(",")[2]) == PNG
    assert not re.search(r"https?://|@import|url\(", html)


def test_page_shows_everything_as_text(report):
    page = Reader()
    page.feed(report.html())
    for text in ("spikformer", "88.2 %", "Of <b>all</b> & every", "1 < 2", "hidden"):
        assert text in page.text
    for text in ("above raw pixels", "✓", "2 < 3 layers", "✗", "network", "Spikformer"):
        assert text in page.text
    for text in ("E = mc", "python tools/x.py 'a b'", "rows", "all layers"):
        assert text in page.text


def test_markdown_holds_the_same(report, tmp_path):
    text = report.markdown(tmp_path)
    assert "| k-NN | 88.2 % | ✓ above raw pixels |" in text
    assert "**✗ 2 < 3 layers**" in text
    assert "| network | Spikformer |" in text
    assert "## Firing rates" in text
    assert "| stem | 1 < 2 |" in text
    assert "![rates](<a picture.png>)" in text
    assert "| hidden cell |" in text
    assert "\n\n\n" not in text
