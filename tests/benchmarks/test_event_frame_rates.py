"""Throughput of event frames: every row, after equality with spikingjelly."""

import json

import event_frames
import numpy as np
import pytest


def test_every_representation_has_a_row(run_benchmark, tmp_path):
    out = tmp_path / "frames.json"
    run_benchmark("event_frames.py", "--events", 500, "--rounds", 2, "--out", out)
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == len(event_frames.SENSORS) * len(event_frames.KINDS)
    for row in rows:
        assert row["events_per_second"]["ours"]["median"] > 0
        assert ("times_ours" in row) == (row["value"] == "count")


def test_unequal_frames_are_not_timed(run_benchmark, tmp_path, monkeypatch):
    from rivals import events

    monkeypatch.setattr(events, "spikingjelly_frames", lambda *_: np.zeros(1))
    out = tmp_path / "frames.json"
    with pytest.raises(AssertionError):
        run_benchmark("event_frames.py", "--events", 500, "--out", out)
