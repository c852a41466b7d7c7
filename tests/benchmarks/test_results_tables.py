"""Every results file has a table, and a page of results that shows it."""

import json
from pathlib import Path

import pytest
from results_tables import markdown, renderers
from speed_tables import HOST_INCLUDED, speed

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
PAGES = [page.read_text() for page in (ROOT / "docs" / "results").glob("*.md")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_results_file_has_a_table_and_a_page(file):
    text = markdown(file)
    assert "\n| --- |" in text
    assert "python tools/" not in text
    assert "command" in file.read_text()
    assert any(f"benchmarks/results/{file.name}" in page for page in PAGES)


def test_only_a_run_of_the_former_demo_has_no_renderer_of_its_own():
    for file in FILES:
        what = json.loads(file.read_text()).get("what", file.stem)
        assert what in renderers() or file.stem == "cifar10_jpeg_gpu"


def test_zoo_table_lists_only_models_with_weights():
    lines = markdown(ROOT / "model-index.yml").splitlines()[2:]
    assert lines
    assert all(line.rpartition(" | ")[2] != "- |" for line in lines)


def test_speed_shows_the_hosts_time_where_a_file_has_it():
    seconds = {"median": 2e-3, "quartiles": [2e-3, 2e-3]}
    ratio = {"median": 1.5, "quartiles": [1.5, 1.5]}
    sides = {
        "ours": {"seconds": seconds},
        "rival": {"seconds": seconds, "times_ours": ratio},
    }
    row = {"title": "neuron", "command": "run.py", "note": ""}
    row["cases"] = [{"case": "stem", "headline": True, "sides": sides}]
    report = {"machine": {"gpu": "GPU"}, "rows": [row]}
    head, _, line = [line for line in speed(report) if line.startswith("|")]
    assert "host" not in head
    assert HOST_INCLUDED in speed(report)[-1]
    for side in sides.values():
        side["host_seconds"] = {"median": 3e-4, "quartiles": [3e-4, 3e-4]}
    sides["rival"]["waits_for_device"] = True
    head, _, line = [line for line in speed(report) if line.startswith("|")]
    assert "| host: ours | host: its |" in head
    assert "| 2 ms | rival | 2 ms\\* |" in line
    assert "| 300 µs | 300 µs |" in line
    assert HOST_INCLUDED not in speed(report)[-1]


def test_speed_shows_anatomies_and_what_was_not_measured():
    anatomy = {"launches": 1050, "busy_ms": 80.5, "step_ms": 90.0, "host_ms": 30.0}
    side = {"seconds": {"median": 0.09, "quartiles": [0.09, 0.09]}, "anatomy": anatomy}
    case = {"case": "4-384", "headline": False, "sides": {"ours": side}}
    skipped = {"case": "--amp", "reason": "no bf16"}
    row = {"title": "step", "command": "run.py", "note": "", "cases": [case]}
    row["skipped"] = [skipped]
    lines = speed({"machine": {"gpu": "GPU"}, "rows": [row]})
    assert "| a step of | side | launches | GPU busy, ms | host, ms |" in lines
    assert "| 4-384 | ours | 1,050 | 80.5 | 30 |" in lines
    assert any("--amp" in line and "no bf16" in line for line in lines)
