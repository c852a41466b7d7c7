"""Health of a pretraining model: against its own outputs, with nothing left behind."""

import random

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from mmengine.config import Config
from torch import nn

from snnssl_mm.analysis.plots.representation_health_plot import plot_health
from snnssl_mm.analysis.unseen_views import unseen_views
from snnssl_mm.checkpoints.random_states import random_states_kept
from snnssl_mm.neurons import set_path
from snnssl_mm.probing import random_init_model
from snnssl_mm.recording.health_features import estimate_statistics, view_features
from snnssl_mm.recording.representation_health import (
    MEASURES,
    health_table,
    representation_health,
    rounded,
    signs_of_collapse,
)
from snnssl_mm.recording.two_views import two_view_batches

SIZES = [(0.0, 8), (1.0, 8), (2.0, 8), (3.0, 8), (4.0, 4), (5.0, 4)]
"""Value and side of six views; of each size the first half spikes."""


@pytest.fixture
def cfg(tiny_config):
    return Config.fromfile(tiny_config)


@pytest.fixture
def views(cfg):
    return unseen_views(cfg)


def batches(views, images=16, seed=0):
    return two_view_batches(views.dataset, views.collate, images, seed)


@pytest.fixture
def model(cfg, views):
    model = random_init_model(cfg)
    estimate_statistics(model, batches(views))
    return model


def test_estimation_leaves_frozen_parts_and_those_that_do_not_run_alone(cfg, views):
    cfg.model.backbone.frozen_stages = 0
    width = cfg.model.neck.out_channels
    cfg.model.predictor = dict(cfg.model.neck, in_channels=width, with_avg_pool=False)
    cfg.model.head.loss = dict(type="snnssl_mm.NegativeCosineLoss")
    cfg.model.teacher = dict(momentum=0.9)
    model = random_init_model(cfg)
    before = {}
    for index, (name, buffer) in enumerate(model.named_buffers()):
        if "running" in name:
            buffer.fill_(1 + index)
        before[name] = buffer.clone()
    estimate_statistics(model, batches(views))
    changed = {
        name
        for name, buffer in model.named_buffers()
        if not torch.equal(buffer, before[name])
    }
    assert any(name.startswith("predictor.") for name in before)
    assert any(name.startswith("backbone.stem.") for name in before)
    learnt = {
        name
        for name in before
        if name.startswith(("backbone.", "neck.")) and ".stem." not in name
    }
    assert changed == learnt


def inputs_of(model, views):
    (batch,) = batches(views)
    return model.data_preprocessor(batch)["inputs"]


def test_features_are_those_of_the_two_paths(model, views):
    a, b = inputs_of(model, views)
    found = view_features(model, batches(views))
    with torch.no_grad():
        for index, (view, path) in enumerate(
            ((a, "spike"), (b, "spike"), (a, "analog"))
        ):
            set_path(model, path)
            embedding = model.project(view)
            pooled = model.backbone(view)[-1].mean((-2, -1))
            torch.testing.assert_close(found["embedding"][index], embedding)
            torch.testing.assert_close(found["backbone"][index], pooled)


def test_measures_equal_float64_formulas(model, views):
    health = representation_health(model, batches(views))
    for kind, three in view_features(model, batches(views)).items():
        a, b, analog = (z.double().mean(0).numpy() for z in three)
        x, y, z = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, b, analog))
        assert health[f"{kind}/dimensions"] == a.shape[1]
        spread = x.std(0) * a.shape[1] ** 0.5
        np.testing.assert_allclose(
            health[f"{kind}/std_per_dimension"], spread, rtol=1e-4, atol=1e-6
        )
        assert health[f"{kind}/std"] == pytest.approx(spread.mean(), rel=1e-4)
        expected = ((x - y) ** 2).sum(1).mean()
        assert health[f"{kind}/alignment"] == pytest.approx(expected)
        assert health[f"{kind}/path_cosine"] == pytest.approx((x * z).sum(1).mean())
        values = np.linalg.svd(a, compute_uv=False)
        np.testing.assert_allclose(
            health[f"{kind}/singular_values"], values, atol=1e-6 * values[0]
        )
        spreads = []
        for v in (x, y):
            squares = ((v[:, None] - v[None]) ** 2).sum(-1)[np.triu_indices(16, 1)]
            spreads.append(np.log(np.exp(-2 * squares).mean()))
        assert health[f"{kind}/uniformity"] == pytest.approx(np.mean(spreads))
        steps = np.array(health[f"{kind}/temporal_consistency"])
        neighbours = [steps[t, t + 1] for t in range(3)]
        assert health[f"{kind}/step_cosine"] == pytest.approx(np.mean(neighbours))


def test_paths_agree_where_no_neuron_distinguishes_them(model, views, monkeypatch):
    """Neurons that pass their spikes on along both paths."""
    monkeypatch.setattr(
        "snnssl_mm.recording.health_features.set_path",
        lambda module, path: set_path(module, "spike"),
    )
    health = representation_health(model, batches(views))
    for kind in ("backbone", "embedding"):
        assert health[f"{kind}/path_cosine"] == pytest.approx(1)
        assert health[f"{kind}/path_cka"] == pytest.approx(1)
    monkeypatch.undo()
    health = representation_health(model, batches(views))
    assert health["backbone/path_cosine"] < 0.9999


def test_one_step_agrees_with_itself(cfg, views):
    cfg.model.backbone.time_steps = 1
    health = representation_health(random_init_model(cfg), batches(views))
    assert health["backbone/step_cosine"] == 1
    assert np.shape(health["backbone/temporal_consistency"]) == (1, 1)


def test_nothing_is_left_behind(model, views):
    model.train()
    model.backbone.stem.eval()  # as a frozen one is
    modes = [module.training for module in model.modules()]
    paths = [getattr(module, "path", None) for module in model.modules()]
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    representation_health(model, batches(views))
    assert [module.training for module in model.modules()] == modes
    assert [getattr(module, "path", None) for module in model.modules()] == paths
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    assert all(p.grad is None for p in model.parameters())
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_random_states_come_back_after_an_error():
    random.seed(1)
    before = random.getstate()

    def fail():
        with random_states_kept(seed=5):
            assert random.getstate() != before
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert random.getstate() == before


def test_views_depend_on_the_seed_only(views):
    first, again, other = (
        next(iter(batches(views, 4, seed)))["inputs"] for seed in (0, 0, 1)
    )
    np.random.rand(3)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert not torch.equal(*first), "two views"


def test_of_more_views_the_first_of_each_path_are_taken():
    images = [[torch.full((3, size, size), view) for view, size in SIZES]] * 2
    samples = [{"inputs": views} for views in images]
    (batch,) = two_view_batches(samples, torch.utils.data.default_collate, 2)
    first, second = batch["inputs"]
    assert first.shape == second.shape == (2, 3, 8, 8)
    assert (first.unique().tolist(), second.unique().tolist()) == ([0.0], [2.0])


def test_images_are_spread_evenly_and_small_sets_are_taken_whole(views):
    def names(images):
        return [
            sample.img_path
            for batch in batches(views, images)
            for sample in batch["data_samples"]
        ]

    everything = names(1000)
    assert len(everything) == len(set(everything)) == 32
    assert names(3) == [everything[0], everything[15], everything[31]]


def test_unseen_images_count_and_training_images_where_there_are_no_others(cfg):
    assert unseen_views(cfg).images == "unseen"
    assert len(unseen_views(cfg).dataset) == 32
    cfg.eval_test_dataloader = None
    assert unseen_views(cfg).images == "training"
    assert len(unseen_views(cfg).dataset) == 64


def test_fresh_statistics_are_those_of_the_spiking_path(model, cfg, views):
    norm = model.backbone.stem.stages[0].bn
    with torch.no_grad():
        current = model.backbone.stem.stages[0].conv(torch.cat(inputs_of(model, views)))
    torch.testing.assert_close(norm.running_mean, current.mean((0, 2, 3)))
    assert norm.momentum == 0.1
    assert not norm.training
    silent = representation_health(random_init_model(cfg), batches(views))
    found = representation_health(model, batches(views))
    assert silent["backbone/rankme"] < 1 < found["backbone/rankme"]


def test_bad_input_is_refused_with_a_sentence(cfg, model, views):
    with pytest.raises(ValueError, match="DualPathSSL.*Linear"):
        representation_health(nn.Linear(1, 1), [])
    with pytest.raises(ValueError, match="at least 2"):
        representation_health(model, [])
    with pytest.raises(ValueError, match="at least 2, got 1"):
        representation_health(model, batches(views, images=1))
    (batch,) = batches(views, images=2)
    one = {
        "inputs": [view[:1] for view in batch["inputs"]],
        "data_samples": batch["data_samples"][:1],
    }
    with pytest.raises(ValueError, match="at least 2, got 1"):
        representation_health(model, [one])
    single = [{"inputs": torch.zeros(3, 16, 16)}] * 2
    with pytest.raises(ValueError, match="digit_scenes.py"):
        next(two_view_batches(single, torch.utils.data.default_collate, 2))
    cfg.train_dataloader = None
    with pytest.raises(ValueError, match="spikformer_ctl.py"):
        unseen_views(cfg)


def test_weights_that_are_no_numbers_are_named(model, views):
    with torch.no_grad():
        model.neck.fc0.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="embedding.*NaN"):
        representation_health(model, batches(views))


def test_collapse_is_seen(model, views):
    assert signs_of_collapse(representation_health(model, batches(views))) == []
    with torch.no_grad():
        last = list(model.neck.parameters())[-1]
        list(model.neck.parameters())[-2].zero_()
        last.fill_(1.0)  # the same embedding for every image
    signs = signs_of_collapse(representation_health(model, batches(views)))
    assert signs == [
        "RankMe of the embedding features is 1.00",
        "standard deviation of the embedding features is 0.000",
    ]


def test_rounding_keeps_significant_digits_and_integers():
    health = {"a": 123456.7, "b": [0.000123456789, [1.0]], "c": 123456789}
    assert rounded(health) == {"a": 123460.0, "b": [0.00012346, [1.0]], "c": 123456789}


@pytest.fixture
def row(model, cfg, views):
    found = rounded(representation_health(model, batches(views)))
    return {
        "config": "configs/selfsup/x.py", "checkpoint": "x.pth", "data": "unseen",
        "images_used": 16, "pretrained": found, "random": found,
    }  # fmt: skip


def test_table_has_a_line_for_every_measure(row):
    table = health_table(row)
    assert len(table.rows) == 1 + len(MEASURES)
    assert table.rows[0] == ["dimensions", "16", "8", "16", "8"]
    assert table.rows[2][1] == f"{row['pretrained']['backbone/rankme']:.3g}"
    assert "two views of 16 unseen images" in table.caption


@pytest.mark.parametrize("steps", [4, 12])
def test_picture(row, tmp_path, steps):
    for kind in ("backbone", "embedding"):
        row["random"][f"{kind}/singular_values"] = [0.0] * 8  # all silent
        cosines = np.eye(steps).tolist()
        row["random"][f"{kind}/temporal_consistency"] = cosines
    picture = imread(plot_health(row, tmp_path / "a" / "health.png"))[..., :3]
    assert (picture == 1).all(axis=-1).mean() > 0.4
    assert np.abs(picture - [68 / 255, 1 / 255, 84 / 255]).max(-1).min() < 0.01, "zeros"
