#!/usr/bin/env python3
"""Look at the built site in headless Chromium: widths, dark mode, search, access.

usage: python docs/check_browser.py [FOLDER] [--pictures FOLDER]

At 390, 820 and 1440 pixels, in light and dark mode: no page may scroll sideways or
write an error to the console; axe (WCAG 2.1 A and AA) may find nothing, which includes
a contrast of text of at least 4.5. The search must find MixedLIF.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

SITE = Path(__file__).resolve().parent / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGES = (
    "index.html",
    "start/tour.html",
    "tutorials/detection.html",
    "method/mixed_lif.html",
    "results/speed.html",
    "api/models.html",
)
WIDTHS = (390, 820, 1440)
MODES = ("light", "dark")
TAGS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A request handler that does not log."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on a free port; yield its address."""
    handler = functools.partial(QuietHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def look_at(page: Page, name: str) -> Iterator[str]:
    """Yield what is wrong with the page that is open."""
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if wide > 0:
        yield f"{name} is {wide} pixels wider than the window"
    for violation in Axe().run(page, options=TAGS).response["violations"]:
        nodes = violation["nodes"]
        yield (
            f"{name}: {violation['id']} at {len(nodes)} places, such as "
            f"{nodes[0]['html'][:120]}: {nodes[0]['failureSummary'][:200]}"
        )


def note_errors(page: Page, errors: list[str]) -> None:
    """Collect errors of scripts and of the console of a page."""

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield the installed Chromium, headless."""
    options = ["--no-sandbox"]  # root may not use it in a container
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=installed(), args=options)
        yield started
        started.close()


def installed() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def look_at_pages(mode: str, address: str, pictures: Path | None) -> list[str]:
    """Open every page at every width in light or dark mode; return what is wrong."""
    wrong: list[str] = []
    errors: list[str] = []
    with browser() as chromium:
        for width in WIDTHS:
            page = chromium.new_page(viewport={"width": width, "height": 900})
            page.emulate_media(color_scheme=mode, reduced_motion="reduce")
            note_errors(page, errors)
            for path in PAGES:
                name = f"{path} at {width} px, {mode}"
                page.goto(address + path)
                wrong += look_at(page, name)
                wrong += [f"{name}: {error}" for error in errors]
                errors.clear()
                if pictures:
                    stem = path.replace("/", "-").removesuffix(".html")
                    page.screenshot(path=pictures / f"{stem}-{width}-{mode}.png")
            page.close()
    return wrong


def search(address: str, word: str) -> list[str]:
    """Search for a word; return what is wrong with the results."""
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{address}search.html?q={word}")
        page.wait_for_selector("#search-results ul.search li a")
        titles = page.locator("#search-results ul.search li a").all_inner_texts()
    if any(word in title for title in titles):
        return []
    return [f"the search for {word} finds only {titles[:5]}"]


def main() -> None:
    """Look at the site; exit with 1 and the list of problems if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("site", nargs="?", type=Path, default=SITE)
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    args = parser.parse_args()
    if installed() is None:
        print(f"not looked at in a browser: none of {', '.join(BROWSERS)} is installed")
        return
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    with served(args.site) as address, ProcessPoolExecutor(len(MODES)) as pool:
        jobs = [pool.submit(look_at_pages, m, address, args.pictures) for m in MODES]
        wrong = [problem for job in jobs for problem in job.result()]
        wrong += search(address, "MixedLIF")
    views = len(PAGES) * len(WIDTHS) * len(MODES)
    print(f"{views} views in a browser, {len(wrong)} problems")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
