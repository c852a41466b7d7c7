"""Verdicts follow from the numbers: which baseline, which threshold, which load."""

import pytest

from snnssl_mm.analysis.report.verdicts import (
    energy_verdict,
    firing_verdict,
    knn_verdict,
    latency_verdict,
    probe_verdict,
    rank_verdict,
    steps_verdict,
)
from snnssl_mm.probing.probe_table import grouped, probe_table
from snnssl_mm.recording.firing_rates import LIMITS
from snnssl_mm.recording.machine import cpu_seconds, is_busy, load_text, measured_load


def rows(pretrained, random=0.2, pixels=None, **changes):
    base = dict(
        probe="knn", settings={"k": 20, "recalibrated": True}, classes=10, seconds=1.0,
        train_images=400, test_images=1000, data="scenes", **changes,
    )  # fmt: skip
    found = dict(pretrained=pretrained, random=random, pixels=pixels)
    return [
        {**base, "start": start, "top1": value}
        for start, value in found.items()
        if value is not None
    ]


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (rows(0.9, 0.2, 0.7), "good"),
        (rows(0.9, 0.2), "good"),
        (rows(0.71, 0.2, 0.7), "fair"),  # within two standard errors
        (rows(0.6, 0.2, 0.7), "fair"),
        (rows(0.21, 0.2, 0.1), "poor"),
        (rows(0.11, None, None), "poor"),  # chance
        (rows(0.19, 0.01, 0.01, top5=0.5), "good"),
    ],
)
def test_probe_is_judged_by_pixels_random_weights_and_chance(found, level):
    (group,) = grouped(found)
    verdict = probe_verdict(group)
    assert verdict.level == level
    for name in ("pixels", "random"):
        if name in group:
            assert f"{100 * group[name]['top1']:.1f} %" in verdict.text


def test_table_has_the_baselines_beside_each_probe():
    table = probe_table(rows(0.9, 0.2, 0.7) + rows(0.8, probe_settings=1)[:1])
    assert table.head[2:6] == [
        "pretrained, %", "random weights, %", "raw pixels, %", "chance, %",
    ]  # fmt: skip
    assert table.rows[0][2:6] == ["90.0", "20.0", "70.0", "10.0"]
    assert table.rows[1][2:6] == ["80.0", "-", "-", "10.0"]


def test_time_of_shared_features_counts_once():
    frozen = rows(0.9, 0.2, feature_seconds=8.0)
    linear = [{**row, "settings": {"recalibrated": True}} for row in frozen]
    trained = [{**row, "probe": "finetune"} for row in rows(0.9)[:1]]
    table = probe_table([*frozen, *linear, *trained])
    assert [row[-1] for row in table.rows] == ["18", "2", "1"]


def health(rank, size=64, random=14.0):
    kinds = {"pretrained": rank, "random": random}
    return {
        start: {"backbone/rankme": value, "backbone/dimensions": size}
        for start, value in kinds.items()
    }


@pytest.mark.parametrize(
    ("found", "classes", "level"),
    [
        (health(19), 10, "good"),
        (health(19), None, "good"),
        (health(6), 10, "fair"),
        (health(12, 512), None, "fair"),
        (health(1.3), 10, "poor"),
        (health(2, size=2, random=1.5), 10, "good"),  # there are no more
    ],
)
def test_rank_is_judged_by_dimensions_and_classes(found, classes, level):
    verdict = rank_verdict(found, classes)
    assert verdict.level == level
    assert f"{found['pretrained']['backbone/rankme']:.0f} of " in verdict.text


def layer(dead=0, saturated=0, neurons=1000):
    return dict(name="stem", dead=dead, saturated=saturated, neurons=neurons)


@pytest.mark.parametrize(
    ("layers", "level"),
    [
        ([layer(dead=1)], "good"),
        ([layer(dead=int(1000 * LIMITS["dead"]))], "good"),
        ([layer(), layer(dead=1 + int(1000 * LIMITS["dead"]))], "fair"),
        ([layer(saturated=1 + int(1000 * LIMITS["saturated"]))], "fair"),
        ([layer(), layer(dead=1000)], "poor"),
    ],
)
def test_few_dead_neurons_are_normal(layers, level):
    assert firing_verdict(layers).level == level


@pytest.mark.parametrize(
    ("ratios", "level"), [((0.5, 0.2), "good"), ((1.5, 0.2), "fair"), ((3, 2), "poor")]
)
def test_energy_is_judged_by_the_non_spiking_network(ratios, level):
    assert energy_verdict({"totals": [{"ratio": r} for r in ratios]}).level == level


def steps(steps, accuracy, energy):
    return {
        "time_steps": steps,
        "trained_at": 4,
        "accuracy": {"linear": accuracy},
        "energy_uj": {"integers_as_spikes": energy},
    }


def test_fewer_steps_are_proposed_where_they_do():
    found = [steps(1, 0.8, 1.0), steps(2, 0.895, 2.0), steps(4, 0.9, 4.0)]
    verdict = steps_verdict(found)
    assert verdict.level == "good"
    assert "T = 2" in verdict.text
    assert "0.5 times" in verdict.text
    assert steps_verdict([found[0], found[2]]).level == "note"
    assert steps_verdict(found[2:]).level == "note"


def test_course_of_knn_is_judged_by_its_baselines():
    def at(epoch, value, start="pretrained"):
        return {"probe": "knn", "start": start, "epoch": epoch, "top1": value}

    baselines = [at(0, 0.7, "pixels"), at(0, 0.2, "random")]
    assert knn_verdict(baselines) is None
    course = [at(4, 0.6), at(12, 0.9), at(8, 0.8), *baselines]
    assert "since 8 " in knn_verdict(course).text
    assert knn_verdict([at(4, 0.6), *baselines]).level == "fair"
    assert knn_verdict([at(4, 0.1), *baselines]).level == "poor"


def test_load_decides_whether_a_time_is_an_upper_bound():
    busy = {"others": 0.5, "steal": 0.1, "load_average": 3.0}
    assert is_busy(busy)
    assert "upper bound" in load_text(busy)
    assert latency_verdict({"load": busy}).level == "fair"
    quiet = {"others": 0.01, "steal": 0.0, "load_average": 1.0}
    assert not is_busy(quiet)
    assert not is_busy(None)
    assert "upper bound" not in latency_verdict({"load": quiet}).text


def test_stolen_time_and_others_are_told_from_our_own(tmp_path, monkeypatch):
    """Of 10 s of two cores: 4 idle, 2 stolen, and all but our own for others."""
    readings = iter([(0.0, 0.0, 0.0), (10.0, 4.0, 2.0)])
    monkeypatch.setattr(
        "snnssl_mm.recording.machine.cpu_seconds", lambda: next(readings)
    )
    with measured_load() as load:
        pass
    assert load["steal"] == 0.2
    assert load["others"] == pytest.approx(0.4, abs=0.02)
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 300 100 0 0 50 0 0\ncpu0 1 1\n")
    assert cpu_seconds(stat) == (6.5, 4.0, 0.5)
    assert cpu_seconds(tmp_path / "none") is None
