"""The tutorials run, and print what their committed output shows."""

import re
from pathlib import Path

import nbformat
import pytest

FILES = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.ipynb"))
NUMBER = re.compile(r"\d+(\.\d+)?")
LINE = re.compile(r"[ ─]+")
NOTICE = re.compile(r"compiling kernels.*\n")


@pytest.fixture
def notebooks(monkeypatch):
    """The module that executes notebooks."""
    monkeypatch.syspath_prepend(FILES[0].parents[1])
    import notebooks

    return notebooks


def masked(text):
    """Mask numbers and the widths of columns; drop the notice of a first start."""
    text = NOTICE.sub("", text.replace("\r\n", "\n"))
    return LINE.sub(" ", NUMBER.sub("#", text)).strip()


def shown(notebook):
    """Return what the cells print or return; numbers are masked, pictures counted.

    Cells with the tag ``varies`` print what depends on the machine and its load.
    """
    texts, pictures = [], 0
    for cell in notebook.cells:
        text = ""  # of all outputs: where streams are divided is a matter of time
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            pictures += "image/png" in data
            if "image/png" not in data:
                text += output.get("text") or data.get("text/plain", "")
        varies = "varies" in cell.metadata.get("tags", [])
        texts.append("" if varies else masked(text))
    return texts, pictures


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_output_is_that_of_the_code(notebooks, file):
    notebook = nbformat.read(file, as_version=4)
    assert notebooks.is_current(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_tutorial_runs_and_shows_what_is_committed(notebooks, file):
    committed, executed = (nbformat.read(file, as_version=4) for _ in range(2))
    notebooks.execute(executed)
    assert shown(executed) == shown(committed)
