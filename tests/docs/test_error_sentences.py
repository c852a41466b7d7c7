"""Every error that the site quotes is made of constant text of the package's source."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAQ = ROOT / "docs" / "start" / "faq.md"
QUOTED = re.findall(r"```text\n(.+?)\n```", FAQ.read_text(), re.DOTALL)
SHORTEST = 6
"""Characters of constant text below which a part of a sentence tells nothing."""
LEAST = 0.5
"""Part of a quoted sentence that is constant text; the rest are names and numbers."""


@cache
def source_texts():
    """Constant texts of all strings of the package; placeholders divide them."""
    files = [f for f in (ROOT / "snnssl_mm").rglob("*.py") if ".mim" not in f.parts]
    nodes = [node for f in files for node in ast.walk(ast.parse(f.read_text()))]
    texts = {n.value for n in nodes if isinstance(n, ast.Constant)}
    return {t.strip() for t in texts if isinstance(t, str) and "\n" not in t}


def constant_part(quote):
    """Fraction of a sentence that the source has as constant text."""
    covered = set()
    for text in source_texts():
        if len(text) >= SHORTEST and (start := quote.find(text)) >= 0:
            covered |= set(range(start, start + len(text)))
    return len(covered) / len(quote)


@pytest.mark.parametrize("quote", QUOTED, ids=lambda quote: quote[:40])
def test_a_quoted_error_is_in_the_source(quote):
    assert constant_part(quote) > LEAST


def test_the_page_quotes_errors_and_other_sentences_are_noticed():
    assert len(QUOTED) > 40
    reworded = [re.sub(r"\b(\w+) (\w+)\b", r"\2 \1", quote) for quote in QUOTED]
    assert max(map(constant_part, reworded)) < LEAST
