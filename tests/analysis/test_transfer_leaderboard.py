"""The leaderboard page: well-formed, self-contained, safe, and with the numbers."""

import re
from html.parser import HTMLParser

import pytest
from transfer_rows import transfer_row

from snnssl_mm.analysis.transfer_charts import charts_of_labels, charts_of_time
from snnssl_mm.analysis.transfer_leaderboard import leaderboard
from snnssl_mm.analysis.transfer_table import transfer_tables

MACHINE = {"processor": "a processor", "cores": 2, "gpu": "none", "torch": "2.9"}
VOID = {"meta", "line", "circle", "path", "use", "rect"}
NASTY = "<script>alert('x')</script>&\"$a_1$"


class Reader(HTMLParser):
    """Collects tags, attributes and texts; fails where tags do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.cells = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "td" in self.open:
            self.cells[-1] += data

    def values(self, name):
        """Return the values of an attribute."""
        return [value for key, value in self.attributes if key == name]


def page_of(rows, tmp_path, **report):
    """Write the page; return it as text and parsed."""
    out = tmp_path / "new folder" / "leaderboard.html"
    content = {"what": "transfer", "machine": MACHINE, "rows": rows, **report}
    assert leaderboard(content, out, "2026-11-28") == out
    html, page = out.read_text(), Reader()
    page.feed(html)
    assert page.open == []
    return html, page


@pytest.fixture(scope="module")
def complete(suite_rows, tmp_path_factory):
    """The page of a complete suite, as text and parsed."""
    return page_of(suite_rows, tmp_path_factory.mktemp("complete"))


def test_page_needs_nothing_else(complete):
    html, page = complete
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = {link.removeprefix("#") for link in page.values("href")}
    assert links <= set(ids)
    assert page.values("src") == []


def test_page_shows_the_numbers_of_the_tables(suite_rows, complete):
    _, page = complete
    cells = [cell.strip() for cell in page.cells]
    for table in transfer_tables(suite_rows):
        for row in table.rows:
            assert set(row[2:]) <= set(cells)


def test_page_says_where_it_comes_from(suite_rows, complete):
    _, page = complete
    for text in ("digits", "ctl (sha256 0123456789ab)", "0, 1, 2", "2026-11-28"):
        assert text in page.text
    for text in ("a processor", "snnssl transfer ctl.pth", "feedfacebeef"):
        assert text in page.text
    assert f"All {len(suite_rows)} rows" in page.text
    assert "incomplete" not in page.text


def test_names_are_text_and_not_markup(tmp_path):
    rows = [
        {**transfer_row(NASTY, entry, seed, share, **{NASTY: 0.1 + seed / 9}), **extra}
        for entry in (NASTY, "random")
        for seed in (0, 1)
        for share in (0.5, 1.0)
        for extra in [{"suite": NASTY, "command": NASTY, "config": NASTY}]
    ]
    _, page = page_of(rows, tmp_path, machine={**MACHINE, "processor": NASTY})
    _, plain = page_of([{**r, "suite": "s"} for r in rows], tmp_path)
    assert page.tags.count("script") == plain.tags.count("script") == 1
    assert NASTY in page.text


def test_every_picture_has_a_text_with_its_numbers(suite_rows, complete):
    html, page = complete
    assert page.values("role").count("img") == html.count('<svg viewBox="0 0 25')
    labels = charts_of_labels(suite_rows)
    assert [chart.title for chart in labels] == [
        "mask-rcnn, box AP, %",
        "mask-rcnn, mask AP, %",
    ]
    box = transfer_tables(suite_rows)[1].rows[0]
    assert f"{box[3].split()[0]} at 400" in labels[0].alt


def test_time_charts_average_the_seeds_at_common_steps():
    curves = [
        [(10, 60, 0.2), (20, 120, 0.4)],
        [(10, 120, 0.4), (20, 180, 0.8), (30, 240, 0.9)],
    ]
    rows = [
        transfer_row(
            "mask-rcnn",
            "ctl",
            seed,
            curve=[
                {"step": step, "seconds": seconds, "metrics": {"box AP": score}}
                for step, seconds, score in curve
            ],
            **{"box AP": 0.9},
        )
        for seed, curve in enumerate(curves)
    ]
    (chart,) = charts_of_time(rows)
    assert "ctl 30.0 at 1.5, 60.0 at 2.5" in chart.alt


def test_unfinished_suite_is_shown_with_what_is_missing(suite_rows, tmp_path):
    _, page = page_of(suite_rows[:4], tmp_path)
    assert "91.0" not in page.text
    assert "90.0" in page.text
    assert "incomplete: " in page.text
    assert "mask-rcnn: random weights, seed 0" in page.text


def test_rows_of_several_checkpoints_are_reported(suite_rows, tmp_path):
    mixed = [{**suite_rows[0], "sha256": "retrained"}, *suite_rows[1:]]
    _, page = page_of(mixed, tmp_path)
    assert "ctl, seed 0: 0123456789ab, retrained" in page.text
    assert "ctl (sha256 retrained, 0123456789ab)" in page.text


@pytest.mark.parametrize("entry", ["ctl", "random", "pixels"])
def test_a_single_row_makes_a_page(entry, tmp_path):
    _, page = page_of([transfer_row("knn", entry, 0, top1=0.5)], tmp_path)
    assert "50.0" in [cell.strip() for cell in page.cells]


def test_rows_alone_make_the_same_leaderboard(suite_rows, tmp_path):
    out = leaderboard(suite_rows, tmp_path / "board.html", "2026-11-28")
    assert "not recorded" in out.read_text()


def test_page_is_a_function_of_the_report(suite_rows, complete, tmp_path):
    assert page_of(suite_rows, tmp_path)[0] == complete[0]


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one row"):
        leaderboard([], tmp_path / "board.html")
    assert not (tmp_path / "board.html").exists()
