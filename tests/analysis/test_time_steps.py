"""The T sweep: what is refused before the work, and what a row says."""

import json
from types import SimpleNamespace

import pytest
import torch
from matplotlib.image import imread
from mmengine.config import Config
from torch import nn

from snnssl_mm.analysis.time_steps import (
    config_at,
    first_input,
    latencies_ms,
    plot_time_steps,
    require_time_steps,
    time_steps_table,
)
from snnssl_mm.probing import Loaders, build_eval_model


def row(steps):
    return {
        "time_steps": steps,
        "accuracy": {
            "linear": 0.5,
            "linear_of_trained_T": 0.4,
            "knn": 0.3,
        },
        "latency_ms": [1.0, 2.0 * steps, 40.0],
        "energy_uj": {
            "integers_as_spikes": 1.0 * steps,
            "integers_as_macs": 2.0 * steps,
            "non_spiking": 9.0,
        },
    }


def test_config_at_leaves_the_config_as_it_was(tiny_config):
    cfg = Config.fromfile(tiny_config)
    before = cfg.model.backbone.get("time_steps")
    assert config_at(cfg, 7).model.backbone.time_steps == 7
    assert cfg.model.backbone.get("time_steps") == before


def test_a_number_of_steps_that_the_backbone_refuses(tiny_config):
    cfg = Config.fromfile(tiny_config)
    require_time_steps(cfg, [1, 16])
    with pytest.raises(ValueError, match=r"Spikformer.*T = 0.*--time-steps"):
        require_time_steps(cfg, [4, 0])


def test_time_steps_of_clips_are_those_of_the_pipeline(tiny_config):
    cfg = Config.fromfile(tiny_config)
    for kind in ("PhotometricFrames", "snnssl_mm.EventFrames"):
        frames = dict(type=kind, time_steps=4)
        view = dict(type="MultiView", num_views=2, transforms=[[frames]])
        cfg.eval_test_dataloader.dataset.pipeline = [view]
        pipeline = config_at(cfg, 7).eval_test_dataloader.dataset.pipeline
        assert pipeline[0].transforms[0][0].time_steps == 7
        assert frames["time_steps"] == 4


def test_clips_of_a_fixed_time_are_refused():
    model = SimpleNamespace(data_preprocessor=lambda batch, training: batch)
    clips = {"inputs": torch.zeros(2, 5, 3, 16, 16), "data_samples": []}
    loaders = Loaders([], [clips])
    assert first_input(model, loaders, 2).shape == (2, 1, 3, 16, 16)
    with pytest.raises(ValueError, match="2 frames, expected T = 3"):
        first_input(model, loaders, 3)


def test_latency_is_of_passes_in_turn():
    passes = []

    class Network(nn.Module):
        def __init__(self, steps):
            super().__init__()
            self.steps = steps

        def forward(self, x):
            passes.append((self.steps, x.shape))

    networks = {steps: Network(steps) for steps in (1, 4)}
    images = dict.fromkeys(networks, torch.zeros(1, 3, 4, 4))
    found = latencies_ms(networks, images, seconds=0.01)
    assert set(passes) == {(steps, (1, 3, 4, 4)) for steps in (1, 4)}
    half = len(passes) // 2
    assert {steps for steps, _ in passes[:half]} == {1, 4}, "not one after the other"
    for low, middle, high in found.values():
        assert 0 < low <= middle <= high


def test_table_has_a_line_for_every_t_in_order():
    shown = time_steps_table([row(4), row(1), row(16)])
    assert [line[0] for line in shown.rows] == ["1", "4", "16"]
    assert shown.rows[1] == ["4", "50.0", "40.0", "30.0", "8.00", "4", "8", "9"]


def test_picture_of_the_sweep(tmp_path):
    file = plot_time_steps([row(t) for t in (8, 1, 2)], 2, tmp_path / "a" / "t.png")
    assert (imread(file)[..., :3] == 1).all(axis=-1).mean() > 0.5


def test_tool_goes_on_with_what_is_missing(run_tool, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    torch.manual_seed(0)
    checkpoint, out = tmp_path / "x.pth", tmp_path / "steps.json"
    torch.save({"state_dict": build_eval_model(cfg).state_dict()}, checkpoint)

    def sweep(*steps, file=out):
        where = ("--time-steps", *steps, "--out", file)
        where += ("--latency-seconds", 0.01)
        run_tool("measure time-steps", tiny_config, checkpoint, *where)
        return {r["time_steps"]: r for r in json.loads(file.read_text())["rows"]}

    first = sweep(1)
    both = sweep(1, 2)
    timing = {"latency_ms", "threads", "command", "load"}
    for name in first[1].keys() - timing:  # latencies are measured in turn
        assert both[1][name] == first[1][name], "not measured again"
    anew = sweep(2, file=tmp_path / "again.json")
    for name in ("accuracy", "energy_uj", "sha256", "seed", "trained_at"):
        assert anew[2][name] == both[2][name]
    assert both[2]["energy_uj"]["non_spiking"] == both[1]["energy_uj"]["non_spiking"]
    assert out.with_suffix(".png").exists()
