"""Runs of an ablation: their config is the cell's, their row is what they measured."""

import json

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.ablation.cells import Cell
from snnssl_mm.ablation.objectives import OBJECTIVES, apply_changes
from snnssl_mm.ablation.results import STATISTICS
from snnssl_mm.ablation.runs import evaluate, row_of, run_config
from snnssl_mm.cli.shared.config_files import find_config
from snnssl_mm.probing import build_eval_model

SWITCHING = Cell(neuron="analog-mixed")


def written(config, cell, folder, seed=0):
    """The config of a run, written and read again."""
    cfg = run_config(Config.fromfile(config), cell, seed, find_config)
    folder.mkdir(exist_ok=True)
    cfg.dump(folder / "config.py")
    return Config.fromfile(folder / "config.py")


def test_a_run_has_the_settings_of_its_cell_and_seed(tiny_config, tmp_path):
    cell = Cell(loss="btl", bn="per_view", steps=2)
    cfg = written(tiny_config, cell, tmp_path / "run", seed=7)
    for key, value in cell.config_options().items():
        found = cfg
        for part in key.split("."):
            found = found[part]
        assert found == value
    assert cfg.randomness.seed == 7
    assert cfg.model.head.loss.type == "snnssl_mm.BoundaryTemporalLoss"


def own_settings(cfg):
    """What an objective's config decides: not the network, the images, the length."""
    model = cfg.model
    neck = [model.neck.get(key) for key in ("type", "with_last_bn", "depth")]
    parts = [model.get(key) for key in ("type", "head", "predictor", "teacher")]
    return [*parts, model.get("frozen_teacher"), neck, cfg.optim_wrapper]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_has_the_settings_of_its_config(objective, tiny_config, tmp_path):
    cfg = written(tiny_config, Cell(loss=objective), tmp_path / "run")
    complete = Config.fromfile(
        find_config(f"configs/selfsup/spikformer_{objective}.py")
    )
    cfg.model.head.loss.pop("within_view", None)  # an axis of the cell
    assert own_settings(cfg) == own_settings(complete)
    tiny = Config.fromfile(tiny_config)
    assert cfg.model.backbone.arch == tiny.model.backbone.arch
    assert cfg.train_cfg == tiny.train_cfg
    assert cfg.train_dataloader.batch_size == tiny.train_dataloader.batch_size


def test_changes_keep_what_both_versions_share():
    before = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4, "f": {"type": "A", "x": 1}}
    after = {"a": 1, "b": {"c": 5, "d": 3}, "f": {"type": "B", "y": 2}, "g": {"h": 6}}
    own = {"a": 7, "b": {"c": 2, "d": 8, "i": 9}, "e": 0, "f": {"type": "A", "x": 1}}
    apply_changes(own, before, after)
    expected_b = {"c": 5, "d": 8, "i": 9}
    assert own == {"a": 7, "b": expected_b, "f": {"type": "B", "y": 2}, "g": {"h": 6}}
    own["g"]["h"] = 0
    assert after["g"] == {"h": 6}, "a copy"


def test_no_changes_change_nothing():
    own = {"a": {"b": 1}, "c": None}
    apply_changes(own, {"a": {"b": 2}, "c": 3}, {"a": {"b": 2}, "c": 3})
    assert own == {"a": {"b": 1}, "c": None}


def test_a_cell_without_a_switch_has_no_schedule(tiny_config, tmp_path):
    cfg = written(tiny_config, SWITCHING, tmp_path / "first")
    assert cfg.default_hooks.path_schedule.stages[1].begin == 0.5
    inherited = tmp_path / "first" / "config.py"
    cfg = written(inherited, Cell(), tmp_path / "second")
    assert "path_schedule" not in cfg.default_hooks


def test_a_cell_sets_threshold_surrogate_and_time_steps_alone(tiny_config):
    own = Config.fromfile(tiny_config)
    own.model.backbone.neuron = dict(v_threshold=0.75)
    own.model.train_time_steps = 2
    model = run_config(own, Cell(surrogate=2.0), 0, find_config).model
    assert model.backbone.neuron.v_threshold == 0.75
    assert model.backbone.neuron.surrogate.width == 2.0
    assert "train_time_steps" not in model
    assert own.model.train_time_steps == 2, "the grid's config is not changed"


@pytest.mark.slow
def test_a_row_holds_accuracies_and_the_last_iteration(tiny_config, tmp_path):
    torch.manual_seed(0)
    model = build_eval_model(written(tiny_config, Cell(), tmp_path))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_2.pth"))
    log = tmp_path / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    times = (None, 8.0, 0.1, 0.3)
    steps = [
        dict(loss=9.0 - step, step=step, epoch=1, time=times[step], memory=100.0 * step)
        for step in (1, 2, 3)
    ]
    steps.append(dict(accuracy=0.5, step=1))
    log.write_text("".join(json.dumps(step) + "\n" for step in steps))
    evaluated = tmp_path / "20260101_000001" / "vis_data" / "scalars.json"
    evaluated.parent.mkdir(parents=True)
    evaluated.write_text(json.dumps(dict(accuracy=0.5, step=1)) + "\n")
    judged = evaluate(tmp_path)
    row = row_of(tmp_path)
    assert {kind: row[kind] for kind in STATISTICS} == judged
    assert all(0 <= value <= 1 for kind in STATISTICS for value in row[kind].values())
    assert (row["epochs"], row["iterations"], row["firing_rate"]) == (1, 3, None)
    assert (row["step_ms"], row["memory"]) == (200.0, 300)
