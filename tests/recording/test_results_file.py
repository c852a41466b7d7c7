"""Results files: whole, in order, never another's."""

import json

import pytest

from snnssl_mm.checkpoints import atomic_files
from snnssl_mm.recording.results_file import ResultsFile, file_sha, read_report

KEY = ("seed", "probe")


@pytest.fixture
def results(tmp_path):
    return ResultsFile(tmp_path / "folder" / "probes.json", "probes", KEY)


def test_rows_are_on_the_disk_as_they_come(results):
    results.append(dict(seed=0, probe="knn", accuracy=0.5))
    again = ResultsFile(results.path, "probes", KEY)
    assert again.find(seed=0, probe="knn")["accuracy"] == 0.5
    assert again.find(seed=1, probe="knn") is None
    assert list(results.path.parent.iterdir()) == [results.path]


def test_a_row_replaces_the_one_with_its_key_only(results):
    for seed, accuracy in ((0, 0.1), (1, 0.2), (0, 0.3)):
        results.append(dict(seed=seed, probe="knn", accuracy=accuracy))
    found = {row["seed"]: row["accuracy"] for row in results.rows}
    assert found == {1: 0.2, 0: 0.3}
    assert len(results.rows) == 2


def test_rows_that_another_process_added_are_kept(results):
    other = ResultsFile(results.path, "probes", KEY)
    results.append(dict(seed=0, probe="knn"))
    other.append(dict(seed=1, probe="knn"))
    results.append(dict(seed=2, probe="knn"))
    kept = ResultsFile(results.path, "probes", KEY).rows
    assert [row["seed"] for row in kept] == [0, 1, 2]


def test_rows_are_found_by_what_json_makes_of_them(results):
    results.append(dict(seed=0, probe="knn", steps=(1, 2)))
    assert results.find(steps=(1, 2)) is results.rows[0]


def test_a_failed_write_leaves_the_file_as_it_was(results, monkeypatch):
    results.append(dict(seed=0, probe="knn"))
    before = results.path.read_text()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        results.append(dict(seed=1, probe="knn"))
    assert results.path.read_text() == before


def test_a_row_of_another_machine_says_so(results):
    results.append(dict(seed=0, probe="knn"))
    report = json.loads(results.path.read_text())
    report["machine"]["processor"] = "another"
    results.path.write_text(json.dumps(report))
    row = ResultsFile(results.path, "probes", KEY).append(dict(seed=1, probe="knn"))
    assert row["machine"]["processor"] != "another"
    assert "machine" not in results.rows[0]


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[1]", "{}", '{"what": "energy", "rows": []}']
)
def test_what_holds_something_else_is_left_alone(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json .*probes"):
        ResultsFile(file, "probes", KEY)
    assert file.read_text() == text


def test_sha_is_that_of_the_content(tmp_path):
    file = tmp_path / "empty"
    file.write_bytes(b"")
    assert file_sha(file) == "e3b0c44298fc"  # SHA-256 of nothing


def test_names_of_earlier_versions_are_read_in_todays(tmp_path):
    file = tmp_path / "probes.json"
    old = dict(probe="k-NN", epoch=4, pretrained=0.5, random_init=0.2, raw_pixels=0.3)
    file.write_text(json.dumps([old]))
    rows = read_report(file, "probes")["rows"]
    assert {(r["probe"], r["start"], r["epoch"]): r["top1"] for r in rows} == {
        ("knn", "pretrained", 4): 0.5,
        ("knn", "random", 0): 0.2,
        ("knn", "pixels", 0): 0.3,
    }
    accuracy = {"accuracy": {"linear probe": 0.5, "linear probe of the trained T": 0.4}}
    report = {"what": "time_steps", "machine": {}, "rows": [accuracy]}
    file.write_text(json.dumps(report))
    (row,) = read_report(file, "time_steps")["rows"]
    assert row == {"accuracy": {"linear": 0.5, "linear_of_trained_T": 0.4}}
