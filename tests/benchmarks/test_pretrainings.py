"""Comparison of pretrainings: the last evaluation counts, baselines are told apart."""

import argparse

import pytest
from mmengine.config import Config
from pretrainings import (
    Run,
    accuracies,
    costs_table,
    has_row,
    named,
    pretrainings_table,
    probed_config,
)

from snnssl_mm.recording.energy import ACCOUNTINGS


def probe(name, start, epoch, top1):
    return {"probe": name, "start": start, "epoch": epoch, "top1": top1}


def test_the_last_evaluation_of_a_run_counts():
    rows = [
        probe("linear", "pretrained", 28, 0.9),
        probe("knn", "pretrained", 28, 0.8),
        probe("knn", "pretrained", 7, 0.5),
        probe("knn", "random", 0, 0.2),
    ]
    expected = {
        "knn": {"pretrained": 0.8, "random": 0.2},
        "linear": {"pretrained": 0.9},
    }
    assert accuracies(rows) == expected


def test_table_has_a_line_for_each_pretraining_and_baseline():
    def row(name, seed, value):
        starts = {"pretrained": value, "random": 0.2, "pixels": 0.4}
        probes = {"knn": starts, "linear": starts}
        counts = {"train_images": 4000, "test_images": 1000}
        return {"name": name, "seed": seed, **probes, **counts}

    rows = [row("ReLU", 0, 0.9), row("ReLU", 1, 0.8), row("ours", 0, 0.7)]
    lines = pretrainings_table(rows).rows
    assert [(line[0], line[1], line[3]) for line in lines] == [
        ("ReLU", "85.0 ± 7.1", "2"),
        ("ours", "70.0", "1"),
        ("ReLU, random weights", "20.0 ± 0.0", "2"),
        ("ours, random weights", "20.0", "1"),
        ("raw pixels", "40.0 ± 0.0", "2"),
    ]


def test_a_config_without_a_name_is_refused():
    assert named("a=b=c.py") == ("a", "b=c.py")
    with pytest.raises(argparse.ArgumentTypeError):
        named("b.py")


def test_costs_are_means_over_seeds():
    def row(seed, seconds, picojoule):
        ways = dict.fromkeys(ACCOUNTINGS, picojoule)
        energy = {"energy_pj": ways, "non_spiking_pj": 4e6}
        size = {"parameters": 112_328, "time_steps": 4, "threads": 1}
        return {"name": "ours", "seed": seed, "seconds": seconds, **size, **energy}

    lines = costs_table([row(0, 60, 1e6), row(1, 120, 3e6)]).rows
    assert lines == [["ours", "0.112", "4", "1.5 ± 0.7", "2.0", "2.0", "4.0"]]
    (line,) = costs_table([row(0, 60, 1e6), row(1, None, 3e6)]).rows  # continued
    assert line == ["ours", "0.112", "4", "1.0", "2.0", "2.0", "4.0"]


def test_a_row_is_of_its_config_settings_and_measurements():
    run = Run("ours", "a.py", 0, "123")
    older = {"name": "ours", "config": "a.py", "seed": 0}
    row = {**older, "digest": "123"}
    assert has_row([older], run, energy=False)
    assert has_row([row], run, energy=False)
    assert not has_row([row], run, energy=True)
    assert has_row([{**row, "energy_pj": {}}], run, energy=True)
    assert not has_row([row], run._replace(digest="456"), energy=False)
    assert not has_row([row], run._replace(config="b.py"), energy=False)


@pytest.mark.parametrize(
    "change",
    [dict(default_hooks=dict(knn=None)), dict(eval_test_dataloader=None)],
    ids=str,
)
def test_a_config_that_evaluates_nothing_is_refused(change, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.default_hooks.update(knn=dict(), linear_probe=dict())
    file = tmp_path / "own.py"
    cfg.dump(file)
    probed_config(str(file))
    cfg.merge_from_dict(change)
    cfg.dump(file)
    with pytest.raises(ValueError, match=r"knn|images"):
        probed_config(str(file))
