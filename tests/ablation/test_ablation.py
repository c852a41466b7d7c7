"""What an ablation varies, and how its rows become means."""

from pathlib import Path
from statistics import mean, stdev

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from snnssl_mm.ablation.cells import CHOICES, NEURONS, Cell, cell_of
from snnssl_mm.ablation.grids import DEFAULT_GRIDS, cells_of, parse_grid
from snnssl_mm.ablation.labels import cell_labels
from snnssl_mm.ablation.results import ablation_table, cells_in, summarise_cell
from snnssl_mm.ablation.runs import run_config
from snnssl_mm.cli.shared.config_files import find_config
from snnssl_mm.engine import PathScheduleHook
from snnssl_mm.neurons import MixedLIF

CONFIGS = Path(__file__).parents[2] / "configs"


def test_default_grids_cross_loss_and_neuron_and_vary_the_rest_alone():
    cells = cells_of(DEFAULT_GRIDS[:-1])
    crossed = {(cell.loss, cell.neuron) for cell in cells}
    neurons = ("lif", "mixed", "analog")
    assert crossed == {(a, b) for a in ("flat", "btl", "ctl") for b in neurons}
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
        ("loss=supervised", "loss.*'supervised'"),
        ("time=never", "time.*'never'"),
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
    cells_of(
        [
            "loss=flat,btl,ctl neuron=lif,mixed,analog",
            "bn pairs",
            "steps=1,3",
            "projector",
        ]
    ),
    ids=str,
)
def test_every_cell_builds_what_it_says(cell, tiny_config):
    cfg = run_config(Config.fromfile(tiny_config), cell, 0, find_config)
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


COMPARISON = "loss=ctl,vicreg,simclr,lejepa,simsiam,byol,predict,mae time"


@pytest.mark.parametrize(
    "cell",
    [*cells_of([COMPARISON]), *cells_of(["loss=simclr,mae neuron=lif,analog"])],
    ids=str,
)
def test_objectives_compute_a_loss_in_their_time_structure(cell, tiny_config):
    cfg = run_config(Config.fromfile(tiny_config), cell, 0, find_config)
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    loss = model.head.loss_module
    own = {"TimeFlattenedLoss": "flat", "BoundaryTemporalLoss": "boundary"}
    found = own.get(type(loss).__name__, getattr(loss, "time", "mean"))
    assert found == cell.structure
    paths = {m.path for m in model.backbone.modules() if isinstance(m, MixedLIF)}
    assert paths == {NEURONS[cell.neuron][0]}
    views = [torch.randn(4, 3, 16, 16) for _ in range(1 if cell.loss == "mae" else 2)]
    value = model.loss(views)["loss"]
    assert torch.isfinite(value)
    value.backward()
    assert any(p.grad is not None and p.grad.any() for p in model.backbone.parameters())


def test_time_structures_of_ctl_have_one_name_each():
    cells = cells_of(["loss=ctl time=all,boundary,flat,step", "loss=btl,flat,ctl"])
    assert cells == [
        Cell(),
        Cell(loss="btl"),
        Cell(loss="flat"),
        Cell(time="step"),
    ]
    assert [cell.structure for cell in cells] == ["all", "boundary", "flat", "step"]


@pytest.mark.parametrize(
    "grid",
    [
        "loss=btl time=all",
        "loss=simsiam time=flat",
        "loss=predict steps=1",
        "loss=vicreg time=boundary steps=1",
        "loss=lejepa pairs=cross-view",
        "loss=simclr width=2048",
        "loss=mae views=4",
        "loss=mae windows=halves",
        "loss=mae bn=per_view",
        "loss=mae projector=per_view",
    ],
)
def test_a_grid_without_a_possible_cell_is_refused(grid):
    with pytest.raises(ValueError, match="no possible cell"):
        cells_of([grid])


def test_other_numbers_than_the_listed_ones():
    assert parse_grid("steps=3,2-4 switch=0.9") == {
        "steps": (3, "2-4"),
        "switch": (0.9,),
    }


def test_choices_with_a_space_are_quoted():
    found = parse_grid('views=2,"2+2 small" neuron=lif')
    assert found == {"views": ("2", "2+2 small"), "neuron": ("lif",)}


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
    cfg = run_config(Config.fromfile(tiny_config), cell, 0, find_config)
    loader = Runner.build_dataloader({**cfg.train_dataloader, "batch_size": 2})
    shapes = [tuple(view.shape) for view in next(iter(loader))["inputs"]]
    time = (4,) if cell.jitter == "frames" else ()
    sides = {"2": [16, 16], "4": [16] * 4, "2+2 small": [16, 16, 8, 8]}[cell.views]
    assert shapes == [(2, *time, 3, side, side) for side in sides]


def test_more_views_are_the_config_s_own(tiny_config):
    cfg = Config.fromfile(tiny_config)
    own = dict(type="snnssl_mm.RandomAffineScene", rotation=0.5)
    cfg.train_dataloader.dataset.pipeline[0].transforms = [[own]]
    cfg.train_dataloader.dataset.size = 32
    cell = Cell(views="2+2 small")
    step = run_config(cfg, cell, 0, find_config).train_dataloader.dataset.pipeline[0]
    assert step.transforms == [[own], [own, dict(type="Resize", scale=(16, 16))]]


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


def test_a_comparison_has_a_column_for_each_axis_and_the_costs():
    cells = cells_of(["loss=vicreg,ctl time=step,all neuron=mixed,lif"])
    rows = [
        {**row(cell, seed, 0.5), "step_ms": 100.0 + seed, "memory": 7}
        for cell in cells
        for seed in (0, 2)
    ]
    table = ablation_table(rows)
    assert table.words == 3
    assert [line[:2] for line in table.rows] == [
        [name, time]
        for name in ("CTL", "VICReg")
        for time in ("all", "step")
        for _ in "ab"
    ]
    assert {tuple(line[-3:]) for line in table.rows} == {("101", "7", "2")}
    del rows[0]["step_ms"], rows[0]["memory"]
    assert ablation_table(rows).rows[-1][-3] == "102", "the other seed"
    further = ablation_table([*rows, row(Cell(loss="mae", steps=2), 0, 0.5)])
    assert further.words == 4


def test_a_table_of_the_methods_losses_names_each_cell_in_one_column():
    table = ablation_table([row(cell, 0, 0.5) for cell in cells_of(DEFAULT_GRIDS)])
    assert table.words == 1
    assert len(table.head) == 4, "no cost was measured"
