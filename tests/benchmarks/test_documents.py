"""The README's tables come from the results files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_tables_are_those_of_the_results_files(run_benchmark):
    run_benchmark("update_readme.py", "--check")


def test_changed_numbers_are_noticed(run_benchmark, monkeypatch):
    changed = re.sub(r"(\| k-NN \| top-1 \| [\d,]+ \| )\d+", r"\g<1>99", README)
    assert changed != README
    monkeypatch.setattr(Path, "read_text", read_with(changed, Path.read_text))
    with pytest.raises(SystemExit, match=r"README\.md"):
        run_benchmark("update_readme.py", "--check")


def read_with(changed, read_text):
    return lambda path, *a: changed if path.name == "README.md" else read_text(path, *a)
