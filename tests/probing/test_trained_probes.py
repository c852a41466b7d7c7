"""Probes that train a network: what they start from, change, and end with."""

from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS
from mmpretrain.models import ImageClassifier

from snnssl_mm import probing as probes
from snnssl_mm.probing import probe_configs
from snnssl_mm.probing.feature_cache import CachedBackbone
from snnssl_mm.probing.probe_configs import labelled_dataset, training_settings
from snnssl_mm.probing.protocols import PROTOCOLS, Protocol, protocol_of
from snnssl_mm.probing.trained_probes import TrainedProbe

STEPS = 8  # two epochs of four batches


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    monkeypatch.setattr(probe_configs, "MIN_EPOCH", 4)


@pytest.fixture
def cfg(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.probes = {name: dict(iterations=STEPS, batch_size=16) for name in PROTOCOLS}
    return cfg


@pytest.fixture
def make(cfg, tmp_path):
    """Make a probe of the config's random weights."""
    loaders = probes.eval_loaders(cfg)

    def build(name, folder="cache", seed=0, start_seed=0):
        # Runs of one name share it if they start in the same second.
        MessageHub._instance_dict.clear()
        cfg.randomness = dict(seed=start_seed)
        model = probes.random_init_model(cfg)
        cfg.randomness = dict(seed=seed)
        backbone = CachedBackbone("random", cfg, model, loaders, tmp_path / folder)
        return TrainedProbe(name, cfg, protocol_of(cfg, name), backbone, 10)

    return build


def trained(probe):
    """Weights of the last checkpoint."""
    file = (probe.work_dir / "last_checkpoint").read_text().strip()
    return torch.load(file, map_location="cpu", weights_only=False)["state_dict"]


def backbone_of(state):
    start = "backbone."
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def test_a_frozen_backbone_stays_as_it_is_to_the_bit(make):
    probe = make("linear-augmented")
    before = torch.load(probe.backbone.backbone_file())["state_dict"]
    probe.run()
    state = trained(probe)
    after = backbone_of(state)
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name
    head = state["head.fc.weight"]
    initial = probe.runner().model.head.fc.weight
    assert not torch.equal(head, initial)


def test_fine_tuning_changes_every_layer(make):
    probe = make("finetune")
    before = torch.load(probe.backbone.backbone_file())["state_dict"]
    probe.run()
    for name, tensor in backbone_of(trained(probe)).items():
        if name.endswith("weight") or name.endswith("running_mean"):
            assert not torch.equal(tensor, before[name]), name


def classifier_features(probe):
    """Pooled features of the test images, as the probe's own network sees them."""
    runner = probe.runner()
    runner.model.init_weights()
    model = runner.model.eval()
    parts = []
    with torch.no_grad():
        for batch in probe.backbone.loaders.test:
            data = model.data_preprocessor(batch, training=False)
            (pooled,) = model.neck(model.backbone(data["inputs"]))[:1]
            parts.append(pooled)
    return torch.cat(parts).numpy()


def test_training_starts_from_the_features_that_frozen_probes_see(make):
    """Weights, recalibrated statistics, normalisation and colours all agree."""
    probe = make("finetune")
    expected = probe.backbone.features().test[0]
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(classifier_features(probe), expected, atol=1e-6)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "name", ["linear-augmented", pytest.param("semi-10pct", marks=pytest.mark.slow)]
)
def test_an_interrupted_probe_goes_on_to_the_same_numbers(make, monkeypatch, name):
    whole = make(name, "whole")
    accuracy, _ = whole.run()
    steps, loss = [], ImageClassifier.loss

    def dying_loss(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == STEPS - 2:  # in the last epoch
            raise Interrupted
        return loss(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "loss", dying_loss)
        with pytest.raises(Interrupted):
            make(name, "parts").run()
    parts = make(name, "parts")
    assert (parts.work_dir / "last_checkpoint").exists()
    steps.clear()
    with monkeypatch.context() as patch:
        patch.setattr(
            ImageClassifier, "loss", lambda *a, **k: steps.append(1) or loss(*a, **k)
        )
        assert parts.run()[0] == accuracy
    assert 0 < len(steps) < STEPS
    expected = trained(whole)
    for key, tensor in trained(parts).items():
        assert torch.equal(tensor, expected[key]), key
    # Once more: nothing is left to train, the test is repeated.
    assert make(name, "parts").run()[0] == accuracy


def test_a_seed_decides_everything(make):
    first, again, other = (
        make("semi-10pct", folder, seed)
        for folder, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    results = [probe.run()[0] for probe in (first, again)]
    assert results[0] == results[1]
    assert first.digest == again.digest != other.digest
    a, b = trained(first), trained(again)
    assert all(torch.equal(tensor, b[key]) for key, tensor in a.items())
    other.run()
    assert not torch.equal(trained(other)["head.fc.weight"], a["head.fc.weight"])


def test_other_weights_are_another_probe(make):
    assert make("finetune").digest != make("finetune", start_seed=1).digest


def labels_and_names(cfg, fraction, seed):
    dataset = DATASETS.build(labelled_dataset(cfg, fraction, seed))
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    names = [sample["img_path"] for sample in samples]
    return Counter(int(sample["gt_label"]) for sample in samples), names


def test_labels_of_the_semi_supervised_probes(cfg):
    """Each class keeps its share, and one at least; the seed decides which."""
    everything, _ = labels_and_names(cfg, 1, 0)
    assert sum(everything.values()) == 64
    few, names = labels_and_names(cfg, 0.01, 0)
    assert few == dict.fromkeys(range(10), 1)
    assert labels_and_names(cfg, 0.01, 0)[1] == names
    assert labels_and_names(cfg, 0.01, 1)[1] != names
    half, _ = labels_and_names(cfg, 0.5, 0)
    assert half == {label: round(0.5 * n) for label, n in everything.items()}


def test_the_test_set_is_not_augmented_and_the_training_set_is(make):
    probe = make("semi-1pct")
    assert (probe.images, probe.cfg.train_dataloader.batch_size) == (10, 10)
    pipelines = (
        [step["type"] for step in dataset["pipeline"]]
        for dataset in (
            probe.cfg.train_dataloader.dataset.dataset.dataset,
            probe.cfg.test_dataloader.dataset,
        )
    )
    assert list(pipelines) == [
        ["snnssl_mm.RandomAffineScene", "PackInputs"],
        ["PackInputs"],
    ]
    assert len(DATASETS.build(probe.cfg.test_dataloader.dataset)) == 32


@pytest.mark.parametrize(
    ("images", "iterations", "batch_size"),
    [(40, 500, 64), (10, 500, 64), (400, 800, 64), (4000, 1000, 128), (64, 1, 16)],
)
@pytest.mark.parametrize("min_epoch", [1, 50])
def test_a_probe_trains_its_iterations_rounded_up_to_an_epoch(
    cfg, monkeypatch, images, iterations, batch_size, min_epoch
):
    monkeypatch.setattr(probe_configs, "MIN_EPOCH", min_epoch)
    protocol = Protocol(iterations, batch_size, 0.1, 0.0, warmup=0.1)
    found = training_settings(cfg, protocol, dict(type="Images"), images)
    loader = found["train_dataloader"]
    repeated = images * loader["dataset"].get("times", 1)
    batches = repeated // loader["batch_size"]  # the incomplete one is dropped
    total = batches * found["train_cfg"]["max_epochs"]
    assert loader["batch_size"] == min(batch_size, images)
    assert iterations <= total < iterations + batches
    assert min(min_epoch, iterations) <= batches
    assert found["param_scheduler"][-1]["end"] == total


def test_the_learning_rate_rises_then_falls_to_zero(make, cfg):
    cfg.probes.finetune = dict(iterations=40, batch_size=16, warmup=0.25)
    runner = make("finetune").runner()
    optimizer = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.optim_wrapper = optimizer
    schedulers = runner.build_param_scheduler(runner.param_schedulers)
    rates = []
    for _ in range(40):
        rates.append(max(optimizer.get_lr()["lr"]))
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[11:]) < 0).all()
    assert max(rates) == pytest.approx(PROTOCOLS["finetune"].lr)
    assert max(rates[0], rates[-1]) < 0.03 * max(rates)


def test_no_augmentation_is_said(cfg):
    cfg.labelled_pipeline = None
    with pytest.raises(ValueError, match="labelled_pipeline"):
        labelled_dataset(cfg, 1, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"finetune": dict(epochs=3)}, "epochs.*iterations"),
        ({"finetuning": dict(lr=1)}, "finetuning.*linear"),
        ({"finetune": dict(iterations=0)}, "iterations=0"),
        ({"finetune": dict(lr=-1.0)}, "lr=-1.0"),
    ],
)
def test_protocols_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        protocol_of(Config(dict(probes=options)), "finetune")


def test_a_config_overrides_a_protocol():
    cfg = Config(dict(probes={"finetune": dict(lr=0.5)}))
    assert protocol_of(cfg, "finetune") == PROTOCOLS["finetune"]._replace(lr=0.5)
    assert protocol_of(cfg, "semi-1pct") == PROTOCOLS["semi-1pct"]
