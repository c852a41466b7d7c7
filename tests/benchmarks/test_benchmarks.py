"""The benchmark compares equal things, in turn, and stops where they are not equal."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import harness
import memory
import pytest
import run as command
import shares
import torch
from learners import Size as StepSize
from results_tables import markdown
from rows import (
    attention,
    inference,
    loss,
    neuron,
    step_anatomy,
    training_loop,
    training_step,
)

from snnssl_mm.losses import BoundaryTemporalLoss, CrossTemporalLoss, TimeFlattenedLoss

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TINY_STEP = StepSize(training_step.TINY, "cifar", 32, 2, "cpu", projector=16)


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 5])
def test_spikingjellys_neuron_is_ours(steps):
    size = neuron.Size((steps, 3, 40), torch.float64, "cpu")
    spikes, grad = neuron.ours(size)()
    assert 0 < spikes.mean() < 1
    assert_same((spikes, grad), neuron.stock(size)())
    assert_same((spikes, grad), neuron.function(size)())


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    "kind", [CrossTemporalLoss, BoundaryTemporalLoss, TimeFlattenedLoss]
)
def test_mmpretrains_loss_over_pairs_is_ours(kind, backward):
    size = loss.Size(3, 8, 12, backward, "cpu", torch.float64)
    assert_same(loss.ours(kind, size)(), loss.pairwise(kind, size)())


@pytest.mark.slow
def test_networks_from_spikingjelly_are_ours():
    assert "float64" in training_step.same_network(TINY_STEP)
    size = inference.Size(inference.TINY, 1, 64, 64, "cpu")
    assert "float64" in inference.same_features(size)


def test_orders_of_attention_agree():
    size = attention.Size(2, 40, "cpu")
    results = [attention.forward_backward(o, size)() for o in attention.ORDERS.values()]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_sides_run_in_turn_and_ratios_are_those_of_a_round():
    now = 0.0
    order = []
    speeds = {"ours": iter([1.0, 10.0, 1.0]), "rival": iter([3.0, 30.0, 4.0])}

    def seconds(name, run):
        nonlocal now
        order.append(name)
        took = next(speeds[name])
        now += took
        return took

    runs = dict.fromkeys(speeds, None)
    times = harness.interleave(runs, seconds, 40.0, (1, 9), clock=lambda: now)
    assert order == ["ours", "rival"] * 2  # the budget is used up after two rounds
    times = {"ours": [1.0, 10.0, 1.0], "rival": [3.0, 30.0, 4.0]}
    sides = harness.summarise_times(times)
    assert sides["rival"]["times_ours"] == {"median": 3.0, "quartiles": [3.0, 3.5]}
    assert sides["ours"]["seconds"]["median"] == 1.0


def test_different_results_stop_before_anything_is_timed():
    sides = {
        "ours": harness.Side(lambda _: lambda: torch.ones(4)),
        "rival": harness.Side(lambda _: lambda: torch.tensor([1.0, 1.0, 1.0, 2.0])),
    }
    with pytest.raises(ArithmeticError, match=r"25\.00%.*'rival'"):
        harness.measure(harness.Case("case", sides), "cpu")
    case = harness.Case("case", sides, may_differ=0.25, budget_s=0.0)
    assert "0.25 of elements" in harness.measure(case, "cpu")["compared"]


def test_peak_memory_sees_a_large_tensor_and_not_the_parents():
    code = (
        "import torch; from memory import PeakMemory\n"
        "with PeakMemory('cpu') as memory: torch.ones(2**24)\n"
        "print(memory.mib)"
    )
    kept = torch.ones(2**26)  # 256 MiB, which ru_maxrss of the child would show
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, check=True
    )
    assert 64 <= float(done.stdout) < 80
    assert memory.resident() > kept.nbytes


def test_profile_gives_the_backward_pass_to_what_it_differentiates():
    step = training_step.step("assembled", TINY_STEP)
    step()
    found = shares.profile_shares(step, "cpu")
    assert sum(found.values()) == pytest.approx(100, abs=0.5)
    assert {"neurons", "convolution", "batch norm", "loss"} <= found.keys()
    assert found["other"] < 25


def test_quick_run_writes_results_and_says_what_is_not_measured(tmp_path, monkeypatch):
    out = tmp_path / "results.json"
    monkeypatch.setattr(command, "run_child", lambda *_: {"peak_mib": 2.0})
    arguments = ["run.py", "--quick", "--rows", "c", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    # The C library's setting would outlive the test.
    monkeypatch.setattr(command, "keep_freed_memory", lambda: True)
    command.main()
    report = json.loads(out.read_text())
    (row,) = report["rows"]
    assert row["row"] == "c"
    assert row["command"].startswith("python benchmarks/run.py --quick")
    assert row["cases"][0]["sides"]["ours"]["seconds"]["median"] > 0
    if not torch.cuda.is_available():
        assert report["gpu"].startswith("not measured yet")
    rendered = rendered_table(out, monkeypatch)
    assert "| 64 tokens |" in rendered.replace("attention of Spikformer-4-384: ", "")
    assert "(q k^T) v" in rendered


def rendered_table(file, monkeypatch):
    import results_tables

    return results_tables.markdown(file)


def test_child_measures_the_side_that_it_is_told(capsys):
    name = attention.cases("cpu", True)[0].name
    command.child("c", name, "ours", True)
    assert json.loads(capsys.readouterr().out)["peak_mib"] >= 0


def test_step_of_row_i_never_waits_for_a_result():
    (case,) = step_anatomy.cases("cpu", True)
    case = dataclasses.replace(case, rounds=(1, 1))
    (side,) = harness.measure(case, "cpu")["sides"].values()
    assert side["anatomy"]["synchronisations"] == 0
    assert side["anatomy"]["step_ms"] > 0


def test_loop_and_plain_steps_train_alike():
    loop, *_ = training_loop.cases("cpu", True)
    result = harness.measure(loop, "cpu")
    assert result["compared"]  # the losses of the first iteration are equal
    for side in result["sides"].values():
        assert side["anatomy"]["operators"] > 1000


def test_bf16_is_left_out_with_a_reason_where_a_processor_lacks_it():
    assert training_loop.lacks_bf16("cpu", ["avx2", "avx512f"])
    assert not training_loop.lacks_bf16("cpu", ["avx2", "avx512_bf16"])
    assert not training_loop.lacks_bf16("cpu", ["amx_bf16"])
    assert not training_loop.lacks_bf16("cuda", [])


def test_projectors_of_the_configs_differ_in_width():
    digits = training_loop.widths(training_loop.MAIN)
    imagenet = training_loop.widths(training_loop.IMAGENET)
    assert imagenet["hid_channels"] > digits["hid_channels"]


def test_skipped_case_is_recorded(monkeypatch):
    skipped = harness.Skipped("--amp", "no bf16")
    row = SimpleNamespace(cases=lambda device, quick: [skipped])
    monkeypatch.setattr(command, "module_of", lambda _: row)
    record = {"cases": [], "skipped": []}
    command.run_row("c", True, False, record, lambda: None)
    assert record == {"cases": [], "skipped": [dict(case="--amp", reason="no bf16")]}


def test_folded_backbones_are_the_same_before_they_are_timed(run_benchmark, tmp_path):
    out = tmp_path / "folding.json"
    options = ("--rounds", 1, "--image-size", 64, "--out", out)
    run_benchmark("folding.py", "--names", "ESpikeFormer", *options)
    (row,) = json.loads(out.read_text())["rows"]
    folded = row["folded_norms"]["folded"]  # the others are free in neurons' kernels
    assert 0 < folded < row["norms"] == 81
    assert row["largest_difference_in_float64"]["folded"] < 1e-9
    assert f"{folded} of 81 norms" in markdown(out)


def test_fusion_of_attention_saves_at_most_two_copies_a_block(run_benchmark, tmp_path):
    out = tmp_path / "fusion.json"
    run_benchmark("attention_fusion.py", "--small", "--rounds", 3, "--out", out)
    single, half = json.loads(out.read_text())["rows"]
    for row in (single, half):
        # T = 4, both views of two images, 32 channels, 8x8 positions, float32
        assert row["product_mib"] == pytest.approx(
            4 * 4 * 32 * 64 * 4 / 2**20, rel=1e-3
        )
        assert row["blocks"] == 1
        assert row["percent_of_step"]["median"] > 0
    assert (single["precision"], half["precision"]) == ("float32", "bf16")
    assert "tiny, 2 x 32 px" in markdown(out)
