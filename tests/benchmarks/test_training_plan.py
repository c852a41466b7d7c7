"""The plan for many GPUs: the formula, by hand and in its limits."""

import json

import pytest
from training_plan import (
    BETWEEN_NODES,
    GLOBAL_BATCHES,
    IMAGENET_IMAGES,
    IN_NODE,
    Network,
    plan,
    plan_table,
    step_times_table,
)


@pytest.fixture
def row():
    """Round numbers, as benchmarks/step_times.py writes them."""
    images = {batch // gpus for gpus, batch in GLOBAL_BATCHES.items()}
    steps = {
        str(batch): {"seconds": {"median": 0.1 + 0.01 * batch}, "peak_mib": 1024}
        for batch in images
    }
    losses = {
        str(batch): {"seconds": {"median": 1e-7 * batch**2}, "peak_mib": 1}
        for batch in images | {*GLOBAL_BATCHES.values()}
    }
    sizes = {
        "gradient_bytes": 200_000_000,
        "embedding_bytes": 10_000,
        "norm_bytes": 1_000_000,
        "norm_calls": 97,
    }
    written = {
        "config": "configs/selfsup/network.py",
        "with_cp": False,
        "steps": {**steps, "128": {"failed": "out of memory"}},
        "losses": losses,
        "communication": sizes,
        "pairs_per_second_of_a_core": 100.0,
    }
    return json.loads(json.dumps(written))


def test_a_step_by_hand(row):
    found = plan(row, 64, 32, Network(bandwidth=1e9, latency=1e-3))
    sent = 2 * 63 / 64 * 200e6 + 63 * 32 * 10e3 + 63 / 64 * 1e6
    assert found.loss == pytest.approx(1e-7 * (2048**2 / 64 - 32**2))
    assert found.sending == pytest.approx(sent / 1e9 + 104e-3)
    assert found.step == pytest.approx(0.42 + found.loss + found.sending)
    assert found.hours == pytest.approx(IMAGENET_IMAGES // 2048 * found.step / 3600)
    assert found.cores == pytest.approx(32 / found.step / 100)


def test_one_gpu_sends_nothing(row):
    row["losses"]["8"] = {"seconds": {"median": 8e-5}}
    found = plan(row, 1, 8, Network(bandwidth=1.0, latency=0.0))
    assert (found.loss, found.sending) == (0, 0)
    assert found.step == row["steps"]["8"]["seconds"]["median"]


def test_a_slower_network_costs_more_and_nodes_are_left_at_eight_gpus(row):
    assert plan(row, 8, 64) == plan(row, 8, 64, IN_NODE)
    assert plan(row, 64, 32) == plan(row, 64, 32, BETWEEN_NODES)
    assert plan(row, 64, 32).step > plan(row, 64, 32, IN_NODE).step


def test_what_was_not_measured_is_not_made_up(row):
    for images in (16, 128):
        with pytest.raises(ValueError, match=rf"\b{images}\b"):
            plan(row, 8, images)


def test_tables_show_every_measurement_and_every_plan(row):
    measured = step_times_table([row]).rows
    assert [line[1] for line in measured] == [*row["steps"]]
    assert measured[-1][2] == "out of memory"
    planned = plan_table([row]).rows
    assert [line[1] for line in planned] == ["8 x 64", "64 x 32", "512 x 8"]
    hours = 100 * plan(row, 8, 64).hours
    assert planned[0][5] == f"{hours:,.1f} h ({8 * hours:,.0f})"
