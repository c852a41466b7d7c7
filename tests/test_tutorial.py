"""The tutorial notebook runs, and its output equals the committed output."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FILE = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
NUMBER = re.compile(r"\d+\.\d+")


def texts(notebook):
    """Return what the cells print or return, with numbers masked and unmasked."""
    shown = []
    for cell in notebook.cells[2:]:
        for output in cell.get("outputs", []):
            text = output.get("text") or output["data"].get("text/plain", "")
            shown.append(text if "Figure" not in text else "a picture")
    return [NUMBER.sub("#", text) for text in shown], shown


@pytest.mark.slow
def test_tutorial_runs_and_shows_what_is_committed(tmp_path):
    committed = nbformat.read(FILE, as_version=4)
    executed = nbformat.read(FILE, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(executed, timeout=300, resources=resources).execute()
    assert texts(executed)[0] == texts(committed)[0]
    pictures = [
        output
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
    accuracies = {
        name: float(NUMBER.search(text)[0])
        for text in texts(executed)[1]
        for name in ("spiking features", "raw pixels")
        if name in text
    }
    assert accuracies["spiking features"] > accuracies["raw pixels"] + 15
