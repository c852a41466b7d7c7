"""What an ablation varies, and how its rows become means."""

from pathlib import Path
from statistics import mean, stdev

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from snnssl_mm.analysis.ablation import cells_in, summarise_cell
from snnssl_mm.analysis.ablation_cells import (
    CHOICES,
    DEFAULT_GRIDS,
    NEURONS,
    Cell,
    cell_labels,
    cell_of,
    cells_of,
    parse_grid,
)
from snnssl_mm.engine import PathScheduleHook
from snnssl_mm.neurons import MixedLIF

CONFIGS = Path(__file__).parents[2] / "configs"


def test_default_grids_cross_loss_and_neuron_and_vary_the_rest_alone():
    cells = cells_of(DEFAULT_GRIDS[:-1])
    crossed = {(cell.loss, cell.neuron) for cell in cells}
    neurons = ("lif", "mixed", "analog")
    assert crossed == {(a, b) for a in CHOICES["loss"] for b in neurons}
    assert Cell() in cells
    assert len(set(cells)) == len(cells)
    for cell in cells:
        changed = [a for a, b in zip(cell, Cell(), strict=True) if a != b]
        others = cell._replace(loss=Cell().loss, neuron=Cell().neuron)
        assert len(changed) <= 1 or others == Cell()


def test_the_last_default_grid_compares_neurons_in_the_digits_recipe():
    cfg = Config.fromfile(CONFIGS / "selfsup" / "spikformer_ctl.py")
    recipes = {cell.neuron: cell for cell in cells_of(DEFAULT_GRIDS[-1:])}
    assert set(recipes) == set(NEURONS)
    recipe = recipes["analog-mixed"].config_options()
    assert recipe["model.backbone.bn"] == cfg.model.backbone.bn
    assert recipe["model.projector_bn"] == cfg.model.projector_bn
    hook = recipe["default_hooks.path_schedule"]
    stages = [{"begin": 0, **stage} for stage in cfg.default_hooks.path_schedule.stages]
    assert hook["stages"] == stages


def test_full_grid_leaves_out_what_is_impossible_or_the_same():
    cells = cells_of([" ".join(list(CHOICES)[:6])])
    assert not [c for c in cells if c.loss == "btl" and c.time_steps[0] == 1]
    assert not [c for c in cells if c.loss == "flat" and c.pairs != "all"]
    assert not [c for c in cells if c.switch != 0.5 and not c.switches]
    assert {c.steps for c in cells if c.loss == "ctl"} == set(CHOICES["steps"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("los=ctl", "'los'"),
        ("loss=vicreg", "loss.*'vicreg'"),
        ("steps=0", "steps.*'0'"),
        ("steps=two", "steps.*'two'"),
        ("steps=1-0", "steps.*'1-0'"),
        ("switch=1", "switch.*'1'"),
    ],
)
def test_wrong_grids_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_grid(text)


@pytest.mark.parametrize(
    "cell",
    cells_of(["loss neuron=lif,mixed,analog", "bn pairs", "steps=1,3", "projector"]),
    ids=str,
)
def test_every_cell_builds_what_it_says(cell, tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.merge_from_dict(cell.config_options())
    init_default_scope("mmpretrain")
    model = MODELS.build(cfg.model).train()
    names = {"flat": "TimeFlattened", "btl": "BoundaryTemporal", "ctl": "CrossTemporal"}
    loss = model.head.loss_module
    assert type(loss).__name__ == f"{names[cell.loss]}Loss"
    assert loss.within_view == (cell.pairs == "all")
    assert model.backbone.time_steps == cell.steps
    paths = {m.path for m in model.modules() if isinstance(m, MixedLIF)}
    assert paths == {NEURONS[cell.neuron][0]}
    assert model.projector_bn == cell.projector
    norm = type(model.backbone.stem.position.bn).__name__
    assert norm == {"joint": "BatchNorm2d", "per_view": "PerViewBatchNorm2d"}[cell.bn]


def test_other_numbers_than_the_listed_ones():
    assert parse_grid("steps=3,2-4 switch=0.9") == {
        "steps": (3, "2-4"),
        "switch": (0.9,),
    }


def test_a_switch_of_path_and_steps_is_a_schedule():
    cell = Cell(neuron="analog-mixed", steps="1-4", switch=0.25)
    options = cell.config_options()
    first, second = options["default_hooks.path_schedule"]["stages"]
    assert first == dict(begin=0, train_path="analog", train_time_steps=1)
    assert second == dict(begin=0.25, train_path="dual", train_time_steps=4)
    assert options["model.backbone.time_steps"] == 4
    assert PathScheduleHook([first, second]).begins == [0, 0.25]


@pytest.mark.parametrize("cell", cells_of(["views jitter"]), ids=str)
def test_views_of_a_cell_are_those_that_it_says(cell, tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.merge_from_dict(cell.config_options())
    loader = Runner.build_dataloader({**cfg.train_dataloader, "batch_size": 2})
    shapes = [tuple(view.shape) for view in next(iter(loader))["inputs"]]
    time = (4,) if cell.jitter == "frames" else ()
    sides = {"2": [16, 16], "4": [16] * 4, "2+2 small": [16, 16, 8, 8]}[cell.views]
    assert shapes == [(2, *time, 3, side, side) for side in sides]


def test_older_rows_have_the_defaults_of_newer_axes():
    older = dict(loss="btl", neuron="lif", bn="joint", pairs="all", steps=2, seed=1)
    assert cell_of(older) == Cell(loss="btl", neuron="lif", steps=2)


def row(cell, seed, accuracy):
    both = {"knn": accuracy, "linear": accuracy / 2}
    return {"seed": seed, **cell._asdict(), "recalibrated": both, "trained": both}


def test_summary_is_mean_and_sample_deviation_of_the_cell():
    values = [0.5, 0.6, 0.8]
    rows = [row(Cell(), seed, value) for seed, value in enumerate(values)]
    rows.append(row(Cell(loss="flat"), 0, 0.1))
    found = summarise_cell(rows, Cell(), "knn", "trained")
    percent = [100 * value for value in values]
    assert found == pytest.approx((mean(percent), stdev(percent), 3))
    assert str(summarise_cell(rows, Cell(loss="flat"), "linear", "trained")) == "5.0"
    assert str(summarise_cell(rows, Cell(), "knn", "trained")) == "63.3 ± 15.3"


def test_the_method_comes_first_and_names_tell_cells_apart():
    cells = cells_of(DEFAULT_GRIDS)
    shown = cells_in([row(cell, 0, 0.5) for cell in reversed(cells)])
    assert shown[0] == Cell()
    assert set(shown) == set(cells)
    assert len({", ".join(cell_labels(cell)) for cell in cells}) == len(cells)
