"""Runs of an ablation: their config is the cell's, their row is what they measured."""

import json

import pytest
import torch
from mmengine.config import Config

from snnssl_mm.analysis.ablation import STATISTICS
from snnssl_mm.analysis.ablation_cells import Cell
from snnssl_mm.analysis.ablation_runs import evaluate, row_of, write_config
from snnssl_mm.probing import build_eval_model

SWITCHING = Cell(neuron="analog-mixed")


def test_a_run_has_the_settings_of_its_cell_and_seed(tiny_config, tmp_path):
    cell = Cell(loss="btl", bn="per_view", steps=2)
    cfg = Config.fromfile(write_config(tiny_config, cell, 7, tmp_path / "run"))
    for key, value in cell.config_options().items():
        found = cfg
        for part in key.split("."):
            found = found[part]
        assert found == value
    assert cfg.randomness.seed == 7


def test_a_cell_without_a_switch_has_no_schedule(tiny_config, tmp_path):
    cfg = Config.fromfile(write_config(tiny_config, SWITCHING, 0, tmp_path / "first"))
    assert cfg.default_hooks.path_schedule.stages[1].begin == 0.5
    inherited = tmp_path / "first" / "config.py"
    cfg = Config.fromfile(write_config(inherited, Cell(), 0, tmp_path / "second"))
    assert "path_schedule" not in cfg.default_hooks


@pytest.mark.slow
def test_a_row_holds_accuracies_and_the_last_iteration(tiny_config, tmp_path):
    torch.manual_seed(0)
    model = build_eval_model(
        Config.fromfile(write_config(tiny_config, Cell(), 0, tmp_path))
    )
    torch.save({"state_dict": model.state_dict()}, tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_2.pth"))
    log = tmp_path / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    steps = [dict(loss=9.0 - step, step=step, epoch=1) for step in (1, 2)]
    steps.append(dict(accuracy=0.5, step=1))
    log.write_text("".join(json.dumps(step) + "\n" for step in steps))
    judged = evaluate(tmp_path)
    row = row_of(tmp_path)
    assert {kind: row[kind] for kind in STATISTICS} == judged
    assert all(0 <= value <= 1 for kind in STATISTICS for value in row[kind].values())
    assert (row["epochs"], row["iterations"], row["firing_rate"]) == (1, 2, None)
