"""Loading a backbone or a model: every prefix, and never in silence."""

import logging

import pytest
import torch
from mmengine.config import Config, ConfigDict

from snnssl_mm.checkpoints import loading as checkpoints
from snnssl_mm.checkpoints.loading import find_prefix
from snnssl_mm.models import BackboneInit, Spikformer, load_backbone, load_full_model

ARCH = dict(embed_dims=16, depth=1, num_heads=2)


@pytest.fixture
def source():
    torch.manual_seed(1)
    return Spikformer(ARCH)


@pytest.fixture
def log(monkeypatch):
    """What is logged, with its level."""
    lines = []

    def print_log(message, logger, level=logging.INFO):
        lines.append((level, message))

    monkeypatch.setattr(checkpoints, "print_log", print_log)
    return lines


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone.", "encoder.x."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_any_prefix_loads_all_tensors(source, tmp_path, prefix, wrapper):
    state = {prefix + k: v for k, v in source.state_dict().items()}
    state["head.stem.stages.0.conv.weight"] = torch.zeros(1)  # a decoy
    file = str(tmp_path / "checkpoint.pth")
    torch.save({wrapper: state} if wrapper else state, file)
    target = Spikformer(ARCH)
    message = load_backbone(target, file)
    n = len(source.state_dict())
    assert f"loaded {n}/{n} backbone tensors" in message
    assert f"prefix {prefix!r}" in message
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


def test_init_cfg_loads(source, tmp_path):
    file = str(tmp_path / "checkpoint.pth")
    torch.save(source.state_dict(), file)
    init_cfg = ConfigDict(type="snnssl_mm.BackboneInit", checkpoint=file)
    target = Spikformer(ARCH, init_cfg=init_cfg)
    target.init_weights()
    assert torch.equal(
        target.stem.stages[0].conv.weight, source.stem.stages[0].conv.weight
    )


def test_misfit_stops_and_changes_nothing(source, tmp_path):
    state = source.state_dict()
    del state["blocks.0.mlp.1.bn.bias"]
    state["stem.stages.0.conv.weight"] = torch.zeros(5, 3, 3, 3)
    file = str(tmp_path / "checkpoint.pth")
    torch.save(state, file)
    target = Spikformer(ARCH)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"2 of \d+ tensors do not match.*\(5, 3, 3, 3\)"
    ):
        load_backbone(target, file)
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())
    n = len(state)
    assert f"loaded {n - 1}/{n + 1}" in load_backbone(target, file, strict=False)


def test_checkpoint_that_fits_nothing(source, tmp_path):
    file = str(tmp_path / "other.pth")
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, file)
    with pytest.raises(ValueError, match="does not fit Spikformer.*stem.stages.0"):
        load_backbone(source, file)
    with pytest.raises(ValueError, match="does not fit Spikformer"):
        load_backbone(source, file, strict=False)


def saved(tmp_path, checkpoint):
    file = str(tmp_path / "checkpoint.pth")
    torch.save(checkpoint, file)
    return file


def test_what_is_left_out_is_logged_as_a_warning(source, tmp_path, log):
    state = source.state_dict()
    del state["stem.position.bn.bias"]
    file = saved(tmp_path, state)
    load_backbone(Spikformer(ARCH), file, strict=False)
    n = len(state)
    (info, loaded), (warning, left_out) = log
    assert (info, warning) == (logging.INFO, logging.WARNING)
    assert loaded == f"loaded {n}/{n + 1} backbone tensors from {file} (prefix '')"
    assert "1 backbone tensors keep" in left_out
    assert "stem.position.bn.bias is missing" in left_out


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_averaged_weights_come_before_plain_ones(source, tmp_path, key):
    plain = {name: torch.zeros_like(t) for name, t in source.state_dict().items()}
    checkpoint = {"state_dict": plain, "model": plain, key: source.state_dict()}
    target = Spikformer(ARCH)
    load_backbone(target, saved(tmp_path, checkpoint))
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


def test_prefix_survives_missing_tensors_and_prefers_the_short_one():
    names = {"a.weight", "b.weight", "c.weight"}
    keys = ["momentum.backbone.a.weight", "momentum.backbone.b.weight"]
    assert find_prefix(keys, names) == "momentum.backbone."
    keys += ["backbone.b.weight", "backbone.c.weight"]
    assert find_prefix(keys, names) == "backbone."
    assert find_prefix(["other.weight"], names) == ""


def test_deeper_or_wider_backbone_does_not_fit(source, tmp_path):
    deeper = Spikformer({**ARCH, "depth": 2})
    with pytest.raises(ValueError, match="0 of .*are left over, first: blocks.1"):
        load_backbone(source, saved(tmp_path, deeper.state_dict()))
    with pytest.raises(
        ValueError, match=r"tensors do not match, first: blocks.1.*miss"
    ):
        load_backbone(deeper, saved(tmp_path, source.state_dict()))
    wider = Spikformer({**ARCH, "embed_dims": 32})
    with pytest.raises(ValueError, match=r"weight has shape \(.*instead of \("):
        load_backbone(source, saved(tmp_path, wider.state_dict()))


@pytest.mark.parametrize("head", ["roi_head.bbox_head", "module.decode_head"])
def test_labels_have_no_place_in_pretraining(source, tmp_path, log, head):
    state = {f"backbone.{k}": v for k, v in source.state_dict().items()}
    file = saved(
        tmp_path, {"state_dict": {**state, f"{head}.conv.bias": torch.ones(1)}}
    )
    target = Spikformer(ARCH)
    with pytest.raises(ValueError, match=r"detector or segmentor.*strict=False"):
        load_backbone(target, file)
    assert not torch.equal(target.stem.stages[0].conv.weight, state[STEM])
    load_backbone(target, file, strict=False)
    assert torch.equal(target.stem.stages[0].conv.weight, state[STEM])
    level, message = log[-1]
    assert level == logging.WARNING
    assert "was trained with labels" in message
    assert head.split(".")[-1] in message


STEM = "backbone.stem.stages.0.conv.weight"


def test_classifiers_checkpoint_is_fine(source, tmp_path):
    state = {f"backbone.{k}": v for k, v in source.state_dict().items()}
    load_backbone(source, saved(tmp_path, {**state, "head.fc.weight": torch.ones(1)}))


@pytest.mark.parametrize("load", [load_backbone, load_full_model])
def test_files_that_are_no_checkpoints(source, tmp_path, load):
    file = tmp_path / "file.pth"
    with pytest.raises(FileNotFoundError, match=r"file.pth does not exist"):
        load(source, str(file))
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"file.pth is empty \(0 bytes\)"):
        load(source, str(file))
    file.write_text("epoch 1, loss 3.2\n" * 100)
    with pytest.raises(ValueError, match=r"file.pth cannot be read as a checkpoint"):
        load(source, str(file))
    torch.save(source.state_dict(), file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"cannot be read as a checkpoint.*cut off"):
        load(source, str(file))
    torch.save([torch.ones(1)], file)
    with pytest.raises(ValueError, match="holds a list, expected a checkpoint"):
        load(source, str(file))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_whole_model_loads_or_says_what_does_not_fit(source, tmp_path, prefix):
    state = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    target = Spikformer(ARCH)
    load_full_model(target, saved(tmp_path, {"state_dict": state}))
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])
    del state[prefix + "stem.position.bn.bias"]
    with pytest.raises(ValueError, match=r"1 of .*stem.position.bn.bias is missing"):
        load_full_model(target, saved(tmp_path, {"state_dict": state}))
    state[prefix + "stem.position.bn.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"1 of .*stem.position.bn.bias.*\(3,\)"):
        load_full_model(target, saved(tmp_path, {"state_dict": state}))
    state = {**source.state_dict(), "fc.weight": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"1 are left over, first: fc.weight"):
        load_full_model(target, saved(tmp_path, {"state_dict": state}))


def test_initialiser_without_a_file():
    with pytest.raises(ValueError, match="got ''; pass it with --pretrained"):
        BackboneInit("")


def trained_with(tmp_path, backbone, **settings):
    """Checkpoint as mmengine saves it, with the text of its config."""
    cfg = Config(
        dict(model=dict(backbone=dict(type="snnssl_mm.Spikformer", **settings)))
    )
    file = str(tmp_path / "trained.pth")
    meta = dict(cfg=cfg.pretty_text)
    torch.save({"meta": meta, "state_dict": backbone.state_dict()}, file)
    return file


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (dict(stem="cifar"), "stem='cifar' instead of 'imagenet'"),
        (dict(neuron=dict(tau=3.0)), r"neuron\.tau=3\.0 instead of 2\.0"),
        (dict(neuron=dict(tau=float("inf"))), r"neuron\.tau=inf instead of"),
        (dict(arch={**ARCH, "num_heads": 4}), "num_heads=4 instead of 2"),
    ],
)
def test_what_no_tensor_shows_must_fit_too(source, tmp_path, caplog, settings, found):
    file = trained_with(tmp_path, source, **{"arch": ARCH, **settings})
    with pytest.raises(ValueError, match=f"same tensors: {found}.*strict=False"):
        load_backbone(Spikformer(ARCH), file)
    with caplog.at_level(logging.WARNING, logger="mmengine"):
        n = len(source.state_dict())
        message = load_backbone(Spikformer(ARCH), file, strict=False)
    assert f"loaded {n}/{n} backbone tensors" in message
    whole = torch.nn.Module()
    whole.backbone = Spikformer(ARCH)
    checkpoint = torch.load(file)
    state = {f"backbone.{k}": v for k, v in checkpoint["state_dict"].items()}
    torch.save({**checkpoint, "state_dict": state}, file)
    with pytest.raises(ValueError, match=f"same tensors: {found}"):
        load_full_model(whole, file)


@pytest.mark.parametrize(
    "settings",
    [dict(time_steps=2), dict(out_indices=(0, 3)), dict(neuron=dict(tau=2.0))],
)
def test_what_does_not_change_the_function_may_differ(source, tmp_path, settings):
    file = trained_with(tmp_path, source, arch=ARCH, **settings)
    load_backbone(Spikformer(ARCH), file)


def test_config_of_a_checkpoint_is_not_executed(source, tmp_path):
    trap = tmp_path / "trap"
    file = str(tmp_path / "hostile.pth")
    text = f"model = dict(backbone=open({str(trap)!r}, 'w'))"
    torch.save({"meta": dict(cfg=text), "state_dict": source.state_dict()}, file)
    load_backbone(Spikformer(ARCH), file)
    assert not trap.exists()
