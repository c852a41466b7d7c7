"""The benchmark of the readers of events, with few of them."""

import json

from results_tables import markdown

from snnssl_mm.datasets.event_files.files import FORMATS


def test_all_formats_are_measured_and_shown(run_benchmark, tmp_path):
    out = tmp_path / "event_readers.json"
    settings = ("--events", 25_000, "--rounds", 1, "--out", out)
    run_benchmark("event_readers.py", *settings)
    rows = json.loads(out.read_text())["rows"]
    both = ("aedat2", "aedat3", "atis")
    measured = {(row["format"], row["reader"]) for row in rows}
    assert measured == {(name, "snnssl_mm") for name in FORMATS} | {
        (name, "spikingjelly") for name in both
    }
    assert all(row["events_per_second"]["median"] > 0 for row in rows)
    text = markdown(out)
    assert text.count("\n| ") == len(FORMATS) + 1
