"""What an ablation varies, and how its rows become means."""

from statistics import mean, stdev

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from snnssl_mm.analysis.ablation import (
    CHOICES,
    DEFAULT_GRIDS,
    Cell,
    cell_labels,
    cells_in,
    cells_of,
    parse_grid,
    summarise_cell,
)
from snnssl_mm.neurons import MixedLIF


def test_default_grids_cross_loss_and_neuron_and_vary_the_rest_alone():
    cells = cells_of(DEFAULT_GRIDS)
    crossed = {(cell.loss, cell.neuron) for cell in cells}
    assert crossed == {(a, b) for a in CHOICES["loss"] for b in CHOICES["neuron"]}
    assert Cell() in cells
    assert len(set(cells)) == len(cells)
    for cell in cells:
        changed = [a for a, b in zip(cell, Cell(), strict=True) if a != b]
        others = cell._replace(loss=Cell().loss, neuron=Cell().neuron)
        assert len(changed) <= 1 or others == Cell()


def test_full_grid_leaves_out_what_is_impossible_or_the_same():
    cells = cells_of([" ".join(CHOICES)])
    assert not [c for c in cells if c.loss == "btl" and c.steps == 1]
    assert not [c for c in cells if c.loss == "flat" and c.pairs != "all"]
    assert not [c for c in cells if c.neuron != "mixed" and c.bn == "split"]
    assert {c.steps for c in cells if c.loss == "ctl"} == set(CHOICES["steps"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("los=ctl", "'los'"),
        ("loss=vicreg", "loss.*'vicreg'"),
        ("steps=0", "steps.*'0'"),
        ("steps=two", "steps.*'two'"),
    ],
)
def test_wrong_grids_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_grid(text)


@pytest.mark.parametrize(
    "cell", cells_of(["loss neuron", "bn pairs", "steps=1,3"]), ids=str
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
    assert paths == {{"lif": "spike", "mixed": "dual", "analog": "analog"}[cell.neuron]}
    norm = type(model.backbone.stem.position.bn).__name__
    assert norm == {"pooled": "BatchNorm2d", "split": "SplitBatchNorm2d"}[cell.bn]


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
    assert summarise_cell(rows, Cell(loss="flat"), "linear", "trained").deviation == 0
    assert str(summarise_cell(rows, Cell(), "knn", "trained")) == "63.3 ± 15.3"


def test_the_method_comes_first_and_names_tell_cells_apart():
    cells = cells_of(DEFAULT_GRIDS)
    shown = cells_in([row(cell, 0, 0.5) for cell in reversed(cells)])
    assert shown[0] == Cell()
    assert set(shown) == set(cells)
    assert len({", ".join(cell_labels(cell)) for cell in cells}) == len(cells)
