#!/usr/bin/env python3
"""Check the built site: links, anchors, pictures, weights, and what is documented.

usage: python docs/check_site.py [FOLDER]

Prints what it counted; exits with 1 and the list of problems if there are any.
"""

from __future__ import annotations

import argparse
import os.path
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "_build" / "html"
LIMIT_KB = 600
"""Largest weight of a page with its scripts, styles and pictures."""
SPECIAL = ("genindex", "search", "py-modindex")


class Page(NamedTuple):
    """A page of the site, as the checks need it.

    Attributes:
        file: Its HTML file.
        anchors: Everything in it that a link can point to.
        links: Addresses that it links to.
        pictures: Source and alternative text of each picture.
        loads: Files that a browser loads with it.
    """

    file: Path
    anchors: set[str]
    links: list[str]
    pictures: list[tuple[str, str]]
    loads: list[str]


class PageParser(HTMLParser):
    """Collects what a :class:`Page` contains.

    Args:
        file: The HTML file.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.page = Page(file, set(), [], [], [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.page.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.page.links.append(found["href"])
        if tag == "img":
            self.page.pictures.append((found.get("src", ""), found.get("alt", "")))
        if tag in ("img", "script") and "src" in found:
            self.page.loads.append(found["src"])
        if tag == "link" and found.get("rel") == "stylesheet":
            self.page.loads.append(found["href"])


@cache
def read(file: Path) -> Page:
    """Read a page."""
    parser = PageParser(file)
    parser.feed(file.read_text())
    return parser.page


def pages(site: Path) -> list[Page]:
    """Read all pages of the site."""
    files = (f for f in site.rglob("*.html") if "_static" not in f.parts)
    return [read(file) for file in sorted(files)]


def is_internal(address: str) -> bool:
    """Whether an address is one of this site."""
    return not urlsplit(address).scheme and not address.startswith("//")


def target(page: Page, address: str) -> Path:
    """Return the file that an internal address of a page names."""
    path = unquote(urlsplit(address).path)
    return beside(page.file.parent, path) if path else page.file


@cache
def beside(folder: Path, path: str) -> Path:
    """Return the file that a path from a folder names."""
    return Path(os.path.normpath(folder / path))


@cache
def exists(file: Path) -> bool:
    """Whether a file exists."""
    return file.is_file()


def broken_links(page: Page) -> Iterator[str]:
    """Yield internal links whose file or anchor does not exist."""
    for address in page.links:
        if not is_internal(address):
            continue
        file, anchor = target(page, address), unquote(urlsplit(address).fragment)
        if not exists(file):
            yield f"links to {address}, which does not exist"
        elif anchor and file.suffix == ".html" and anchor not in read(file).anchors:
            yield f"links to {address}, whose anchor does not exist"


def pictures_without_text(page: Page) -> Iterator[str]:
    """Yield pictures without an alternative text, or with their name for it."""
    for source, text in page.pictures:
        if not text or text == source or text.endswith((".png", ".svg", ".jpg")):
            yield f"shows {source[:60]} without a text that describes it"


def weight_kb(page: Page) -> float:
    """Return the size of a page with all files that it loads, in kB."""
    files = {target(page, address) for address in page.loads if is_internal(address)}
    sizes = [file.stat().st_size for file in files if file.is_file()]
    return (page.file.stat().st_size + sum(sizes)) / 1000


def unreachable(site: Path, found: list[Page]) -> set[str]:
    """Return the pages to which no other page links."""
    linked = {
        target(page, address)
        for page in found
        for address in page.links
        if is_internal(address) and target(page, address) != page.file
    }
    special = {site / f"{name}.html" for name in (*SPECIAL, "index")}
    return {
        str(p.file.relative_to(site)) for p in found if p.file not in linked | special
    }


def undocumented(site: Path, found: list[Page]) -> Iterator[str]:
    """Yield public names, subcommands, configs and results files without a place."""
    import api_pages
    import config_pages
    import markup

    from snnssl_mm.checkpoints import zoo
    from snnssl_mm.cli.main import COMMANDS

    anchors = set().union(*(page.anchors for page in found))
    for package, module in api_pages.public().items():
        for name in api_pages.names(module):
            if f"snnssl_mm.{package}.{name}" not in anchors:
                yield f"{package}.{name} is public, but not documented"
    wanted = [f"commands/{command}" for command in COMMANDS]
    for folder in markup.TASKS:
        wanted += [f"configs/{file.stem}" for file in config_pages.configs(folder)]
    wanted += [f"zoo/{name}" for name in zoo.entries()]
    yield from (f"{n} has no page" for n in wanted if not (site / f"{n}.html").exists())
    text = "\n".join(page.file.read_text() for page in found)
    for file in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        if file.name not in text:
            yield f"benchmarks/results/{file.name} is on no page"


def problems(site: Path, found: list[Page]) -> Iterator[str]:
    """Yield everything that is wrong with the site."""
    for page in found:
        name = page.file.relative_to(site)
        for problem in (*broken_links(page), *pictures_without_text(page)):
            yield f"{name} {problem}"
        if weight_kb(page) > LIMIT_KB:
            yield f"{name} weighs {weight_kb(page):.0f} kB; expected at most {LIMIT_KB}"
    yield from (f"no page links to {name}" for name in sorted(unreachable(site, found)))
    yield from undocumented(site, found)


def main() -> None:
    """Check the site and print what it has."""
    import sys

    sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "benchmarks")]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("site", nargs="?", type=Path, default=SITE)
    site = parser.parse_args().site.resolve()
    found = pages(site)
    wrong = list(problems(site, found))
    heaviest = max(found, key=weight_kb)
    internal = sum(is_internal(link) for page in found for link in page.links)
    doctests = sum(
        len(re.findall(r"^\s*>>> ", file.read_text(), re.MULTILINE))
        for file in (ROOT / "docs").rglob("*.md")
    )
    print(
        f"{len(found)} pages, {internal:,} internal links, "
        f"{sum(len(page.pictures) for page in found)} pictures, {doctests} lines of "
        f"doctests; heaviest: {heaviest.file.relative_to(site)} with "
        f"{weight_kb(heaviest):.0f} kB"
    )
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
