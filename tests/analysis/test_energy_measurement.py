"""What is measured of a network does not depend on how, and belongs to its parts."""

import copy
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.utils.data import DataLoader, Subset

from snnssl_mm.analysis.energy_measurement import (
    backbone_energy_uj,
    count_images,
    deployed,
    measure_layers,
    prediction,
    require_measurable,
    spiking_parts,
)
from snnssl_mm.analysis.unseen_images import unseen_images
from snnssl_mm.models import ESpikeFormer, Spikformer, load_backbone
from snnssl_mm.neurons import MixedLIF, expand_to_spikes
from snnssl_mm.probing import build_eval_model
from snnssl_mm.recording.bn_statistics import norms_of
from snnssl_mm.recording.energy import (
    ACCOUNTINGS,
    CONSTANTS,
    energy,
    share_of_real_macs,
    totals,
)
from snnssl_mm.testing import randomize_norms


def lively_job(file):
    """A config and its model, with batch norms that have seen 8 images.

    Initial statistics leave deep layers silent.
    """
    cfg = Config.fromfile(file)
    torch.manual_seed(0)
    model = build_eval_model(cfg)
    for norm in norms_of(model):
        norm.momentum = 1.0
    model.backbone.train()
    with torch.no_grad():
        for batch in unseen_images(cfg, 8):
            prediction(model, cfg)(batch)
    return SimpleNamespace(cfg=cfg, model=model.eval())


@pytest.fixture
def pretraining(tiny_config):
    """The main job, shrunk, at T = 4."""
    return lively_job(tiny_config)


def measured(job, images=6, loader=None):
    loader = loader or unseen_images(job.cfg, images)
    predict = prediction(job.model, job.cfg)
    return measure_layers(job.model, loader, predict, count_images(loader))


@pytest.fixture(scope="module")
def downstream(task):
    """A downstream job by name, and its layers."""

    @functools.cache
    def make(name):
        job = lively_job(task(name).config)
        return job, *measured(job, images=4)

    return make


def column(layers, name):
    return np.array([layer[name] or 0.0 for layer in layers])


def test_energy_of_a_measured_network_by_a_sum_of_its_own(pretraining):
    layers, steps = measured(pretraining)
    assert steps == pretraining.model.backbone.time_steps == 4
    as_macs = as_spikes = 0.0
    for found in layers:
        dense, event = 4.6 * found["macs"], 0.9 * found["macs"] * (found["rate"] or 0)
        as_macs += event if found["kind"] == "spikes" else dense
        as_spikes += dense if found["kind"] == "real" else event
    kinds = {found["kind"] for found in layers}
    assert kinds == {"spikes", "integers", "real"}
    assert [t["energy_pj"] for t in totals(layers)[:2]] == pytest.approx(
        [as_macs, as_spikes]
    )
    assert as_macs > as_spikes > 0


def test_backbone_energy_is_that_of_its_layers(pretraining):
    model, cfg = pretraining.model, pretraining.cfg
    found = backbone_energy_uj(model, cfg, unseen_images(cfg, 6))
    layers, _ = measured(pretraining)
    as_macs, as_spikes = totals(layers)[:2]  # of pretraining only the backbone is used
    assert found == pytest.approx(
        {
            "integers_as_macs": as_macs["energy_pj"] / 1e6,
            "integers_as_spikes": as_spikes["energy_pj"] / 1e6,
            "non_spiking": as_macs["non_spiking_pj"] / 1e6,
        }
    )


class Features(nn.Module):
    """A model of a backbone alone."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)


@pytest.mark.parametrize("form", ["images", "clips", "folded clips"])
def test_binary_network_has_the_operations_of_the_integer_one(form):
    """D times the steps, each integer as so many spikes; nothing but pixels is real."""
    torch.manual_seed(0)
    arch = dict(embed_dims=(8, 8, 16, 24), depths=(1, 1))
    model = Features(randomize_norms(ESpikeFormer(arch, time_steps=2))).eval()
    images = torch.rand(2, 3, 32, 32)
    frames = [images, images.flip(-1)]
    forms = {"clips": torch.stack(frames), "folded clips": torch.cat(frames, dim=1)}
    x = forms.get(form, images)
    layers, steps = measure_layers(model, [x], model, 2)
    single = copy.deepcopy(model.backbone)
    expand_to_spikes(model)
    spikes, more = measure_layers(model, [x], model, 2, single)
    assert more == 4 * steps == 8
    assert "integers" in {found["kind"] for found in layers}
    assert column(spikes, "name").tolist() == column(layers, "name").tolist()
    for found, before in zip(spikes, layers, strict=True):
        assert found["non_spiking_macs"] == before["non_spiking_macs"]
        if before["kind"] == "real":
            assert found["name"] == "backbone.entry.conv"
            assert found["kind"] == "real"
            continue
        product = "(product" in found["name"]
        assert found["kind"] == (before["kind"] if product else "spikes")
        assert found["macs"] == (1 if product else 4) * before["macs"]
        sops = found["rate"] * found["macs"]
        assert sops == pytest.approx(before["rate"] * before["macs"], rel=1e-3)


def test_non_spiking_network_is_the_same_at_one_step(pretraining):
    layers, _ = measured(pretraining)
    model = pretraining.model
    model.backbone.time_steps = 1
    single, steps = measured(pretraining)
    model.backbone.time_steps = 4
    assert steps == 1
    assert (
        column(layers, "non_spiking_macs").tolist() == column(single, "macs").tolist()
    )
    assert column(layers, "name").tolist() == column(single, "name").tolist()


def test_twice_the_time_steps_are_twice_the_operations(pretraining):
    layers, _ = measured(pretraining)
    model = pretraining.model
    model.backbone.time_steps = 8
    twice, steps = measured(pretraining)
    model.backbone.time_steps = 4
    assert steps == 8
    once, rest = layers[0], layers[1:]
    assert (once["name"], once["kind"]) == ("backbone.stem.stages.0.conv", "real")
    assert twice[0]["macs"] == once["macs"], "a still image passes it once"
    assert (column(twice[1:], "macs") == 2 * column(rest, "macs")).all()
    assert (column(rest, "macs") == 4 * column(rest, "non_spiking_macs")).all()
    assert (
        column(twice, "non_spiking_macs") == column(layers, "non_spiking_macs")
    ).all()


def test_order_and_size_of_batches_change_nothing(pretraining):
    loader = unseen_images(pretraining.cfg, 6)
    expected, _ = measured(pretraining, loader=loader)
    shuffled = Subset(loader.dataset, [3, 1, 5, 0, 4, 2])
    for dataset, size in ((loader.dataset, 1), (loader.dataset, 4), (shuffled, 6)):
        other = DataLoader(dataset, size, collate_fn=loader.collate_fn)
        layers, _ = measured(pretraining, loader=other)
        assert column(layers, "name").tolist() == column(expected, "name").tolist()
        for name in ("macs", "rate", "non_spiking_macs"):
            np.testing.assert_allclose(
                column(layers, name), column(expected, name), rtol=1e-12
            )


def test_measuring_leaves_the_model_as_it_was(pretraining):
    model = pretraining.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured(pretraining)
    assert model.backbone.time_steps == 4
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_clips_pass_the_first_layer_at_every_step(pretraining):
    clips = torch.rand(3, 2, 3, 64, 64)  # [T, N, C, H, W]
    layers, steps = measure_layers(
        pretraining.model, [clips], pretraining.model.extract_feat, 2
    )
    assert steps == 3
    assert (column(layers, "macs") == 3 * column(layers, "non_spiking_macs")).all()


@pytest.mark.parametrize("name", ["detection", "segmentation", "classification"])
def test_necks_and_heads_are_macs(downstream, name):
    job, layers, steps = downstream(name)
    assert steps == 2
    parts = {
        "detection": {"backbone", "neck", "rpn_head", "roi_head"},
        "segmentation": {"backbone", "neck", "decode_head"},
        "classification": {"backbone", "head"},
    }[name]
    assert {found["part"] for found in layers} == parts
    for found in layers:
        if found["part"] == "backbone":
            continue
        assert (found["kind"], found["rate"]) == ("real", None)
        assert found["macs"] == found["non_spiking_macs"] > 0
        for accounting in ACCOUNTINGS:
            cost = energy(found, accounting, CONSTANTS[0])
            assert cost == pytest.approx(4.6 * found["macs"])
    counted = {found["name"] for found in layers}
    for name, module in job.model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and "roi_head" not in name:
            assert name in counted
    assert deployed(job.model, job.cfg) is job.model


def test_spiking_necks_and_heads_count_spikes(downstream):
    """All layers but the first are driven by spikes, and run at every time step."""
    _, layers, steps = downstream("spiking_detection")
    assert steps == 2
    pixels = [found for found in layers if found["kind"] == "real"]
    assert [found["name"] for found in pixels] == [layers[0]["name"]]
    share = pixels[0]["macs"] / sum(found["non_spiking_macs"] for found in layers)
    assert share_of_real_macs(layers) == pytest.approx(share)
    for found in layers[1:]:
        assert found["macs"] == pytest.approx(steps * found["non_spiking_macs"])
        assert 0 <= found["rate"] <= 3  # a sum of the pyramid's levels


def test_one_spiking_head_does_not_make_the_others_spiking(task):
    settings = Config.fromfile(task("spiking_detection").config)
    settings.model.roi_head.mask_head.type = "FCNMaskHead"
    model = build_eval_model(settings)
    parts = {"backbone", "neck", "rpn_head", "roi_head.bbox_roi_extractor"}
    parts |= {"roi_head.mask_roi_extractor", "roi_head.bbox_head"}
    assert spiking_parts(model) == parts


def test_macs_of_a_detector_by_hand(downstream):
    """The lateral convolutions of the FPN, on maps of a 64 x 64 image."""
    _, layers, _ = downstream("detection")
    laterals = [found for found in layers if "lateral" in found["name"]]
    macs = [16 * c * (64 // s) ** 2 for c, s in ((4, 4), (8, 8), (16, 16), (16, 32))]
    assert [found["macs"] for found in laterals] == macs


def test_network_without_spikes_is_its_own_equal():
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    layers, steps = measure_layers(model, [torch.ones(2, 3, 5, 5)], model.backbone, 2)
    assert steps == 1
    assert [found["macs"] for found in layers] == [9 * 4 * 27, 9 * 2 * 4]
    assert [total["ratio"] for total in totals(layers)] == [1.0] * 4


def test_models_that_are_refused():
    with pytest.raises(ValueError, match="Linear.*backbone"):
        require_measurable(nn.Linear(2, 2))
    model = nn.Module()
    model.backbone = nn.Sequential(MixedLIF())
    with pytest.raises(ValueError, match="Sequential.*time_steps"):
        require_measurable(model)


def test_pretrained_weights_change_rates_not_macs(downstream, pretraining, tmp_path):
    """The backbone of one job in the model of another: rates follow the weights."""
    job, before, _ = downstream("classification")
    job = copy.deepcopy(job)
    file = tmp_path / "pretrained.pth"
    torch.save({"state_dict": pretraining.model.state_dict()}, file)
    load_backbone(job.model.backbone, str(file))
    after, _ = measured(job, images=4)
    assert (column(after, "macs") == column(before, "macs")).all()
    assert (column(after, "rate") != column(before, "rate")).any()


def test_events_are_spikes_however_many_and_however_folded():
    """A count n is n accumulations, in clips and in frames that are channels."""
    arch = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)
    model = nn.Module()
    model.backbone = Spikformer(arch, "cifar", time_steps=4, in_channels=2).eval()
    torch.manual_seed(0)
    clip = torch.randint(0, 1000, (4, 3, 2, 16, 16)).float()
    folded = clip.transpose(0, 1).flatten(1, 2)
    found = [measure_layers(model, [x], model.backbone, 3) for x in (clip, folded)]
    assert found[0] == found[1]
    layers, steps = found[0]
    assert steps == 4
    assert (layers[0]["kind"], layers[0]["rate"]) == ("integers", clip.mean())
    assert share_of_real_macs(layers) == 0
    for layer in layers:
        if "product" not in layer["name"]:
            assert layer["macs"] == 4 * layer["non_spiking_macs"]
    averages = clip + 0.5  # such as resized frames
    layers, _ = measure_layers(model, [averages], model.backbone, 3)
    assert layers[0]["kind"] == "real"
