"""Unusual weight files and networks: loaded if they fit, refused by name otherwise."""

import argparse
import re
import urllib.error
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from snnssl_mm.checkpoints import downloads
from snnssl_mm.checkpoints.loading import load_backbone, read_checkpoint
from snnssl_mm.checkpoints.stored_config import stored_config
from snnssl_mm.checks.config.build import build_unfilled
from snnssl_mm.checks.config.weights import check_weights, unknown_name
from snnssl_mm.models import Spikformer

ARCH = dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1)
OURS = dict(type="snnssl_mm.Spikformer", arch=ARCH)
DEEP = dict(type="mmdet.ResNet", depth=50, base_channels=8)
NEXT = dict(type="mmpretrain.ConvNeXt", arch=dict(depths=[1] * 4, channels=[4] * 4))
CONTEXT = dict(type="ContextBlock", ratio=0.25)
PLUGIN = dict(cfg=CONTEXT, stages=(False, True, True, True), position="after_conv3")
OFFSETS = dict(type="DCNv2", deform_groups=1, fallback_on_stride=False)


def segmentor(backbone):
    head = dict(type="FCNHead", in_channels=4, channels=4, num_classes=2)
    head["in_index"] = 0
    return dict(type="EncoderDecoder", backbone=backbone, decode_head=head)


def problems(backbone, level="error", **cfg):
    init_default_scope("mmseg")
    cfg = Config(dict(model=segmentor(backbone), **cfg))
    model, _ = build_unfilled(cfg)
    return [p.text for p in check_weights(cfg, model, files=True) if p.level == level]


def saved(file, backbone, prefix=""):
    init_default_scope("mmseg")
    state = MODELS.build(backbone).state_dict()
    torch.save({"state_dict": {prefix + k: v for k, v in state.items()}}, file)
    return str(file)


def given(file, **more):
    return dict(init_cfg=dict(type="Pretrained", checkpoint=file), **more)


EXTENSIONS = {
    "plugin": (DEEP, dict(plugins=[PLUGIN])),
    "norm for each map": (NEXT, dict(out_indices=[0, 3], gap_before_final_norm=False)),
    "fewer stages": (DEEP, dict(num_stages=3, out_indices=(2,))),
}
EXTENSIONS["fewer stages"][1].update(strides=(1, 2, 2), dilations=(1, 1, 1))


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_stock_networks_may_add_layers_of_other_kinds(tmp_path, kind):
    backbone, more = EXTENSIONS[kind]
    file = saved(tmp_path / "plain.pth", backbone)
    assert problems({**backbone, **given(file), **more}) == []


@pytest.mark.parametrize("more", [dict(depth=101), dict(base_channels=16)])
def test_stock_networks_without_some_of_their_blocks_are_refused(tmp_path, more):
    file = saved(tmp_path / "plain.pth", DEEP)
    assert len(problems({**DEEP, **given(file), **more})) == 1


@pytest.mark.parametrize("prefix", ["_orig_mod.backbone.", "model.backbone.", ""])
def test_wrapped_weights_are_refused_with_what_finds_them(tmp_path, prefix):
    file = saved(tmp_path / "wrapped.pth", OURS, prefix)
    (text,) = problems(OURS, load_from=file)
    assert repr(prefix) in text
    assert "--pretrained" in text
    init_cfg = dict(type="snnssl_mm.BackboneInit", checkpoint=file)
    assert problems(dict(OURS, init_cfg=init_cfg)) == []


def test_frozen_layers_without_weights_are_reported(tmp_path):
    frozen = dict(OURS, frozen_stages=1)
    assert "--pretrained" in problems(frozen, "warning")[0]
    file = saved(tmp_path / "complete.pth", OURS)
    assert problems({**frozen, **given(file)}, "warning") == []
    assert problems(OURS, "warning") == []


@pytest.mark.parametrize(
    "name", ["torchvision://resnet05", "open-mmlab://detectron2/resnet50_cafe"]
)
def test_misspelt_names_of_published_weights(name):
    known = {"resnet05": "resnet50", "resnet50_cafe": "resnet50_caffe"}
    assert known[name.rpartition("/")[2]] in unknown_name(name)
    (text,) = problems({**DEEP, **given(name)})
    assert name in text
    assert unknown_name("torchvision://resnet50") is None
    assert unknown_name("open-mmlab://detectron2/resnet50_caffe") is None
    assert unknown_name("https://nowhere/resnet05.pth") is None


STARTS = {
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
    "web page": b"<!DOCTYPE html>\n<html>",
    "safetensors": b'\x12\0\0\0\0\0\0\0{"a": {"dtype": "F32"}}',
    "gzip": b"\x1f\x8b\x08\0",
    "HDF5": b"\x89HDF\r\n\x1a\n",
}


@pytest.mark.parametrize("kind", STARTS)
def test_other_files_are_named(tmp_path, kind):
    file = tmp_path / "weights.pth"
    file.write_bytes(STARTS[kind])
    with pytest.raises(ValueError, match=kind):
        read_checkpoint(file)


def test_a_folder_is_no_checkpoint_and_its_newest_is_named(tmp_path):
    torch.save({}, tmp_path / "epoch_3.pth")
    with pytest.raises(FileNotFoundError, match=r"epoch_3\.pth"):
        read_checkpoint(str(tmp_path))


@pytest.mark.parametrize("content", [{"state_dict": [1]}, {0: torch.ones(1)}])
def test_what_has_no_names_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth.*state_dict"):
        read_checkpoint(tmp_path / "odd.pth")


@pytest.mark.parametrize("meta", [None, "text", argparse.Namespace(cfg="a = 1")])
def test_meta_may_be_anything(meta):
    assert stored_config({"meta": meta}) == {}


def test_paths_may_be_objects_and_begin_with_the_home(tmp_path, monkeypatch):
    torch.save(Spikformer(ARCH).state_dict(), tmp_path / "a.pth")
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (tmp_path / "a.pth", "~/a.pth", Path("~/a.pth")):
        assert "loaded" in load_backbone(Spikformer(ARCH), path)


def test_a_scope_in_the_stored_config_does_not_hide_its_settings(tmp_path):
    text = f"model = dict(backbone=dict(type='Spikformer', _scope_='x', arch={ARCH!r}))"
    state = Spikformer(ARCH).state_dict()
    torch.save({"state_dict": state, "meta": dict(cfg=text)}, tmp_path / "a.pth")
    other = Spikformer(ARCH, neuron=dict(v_threshold=0.5))
    with pytest.raises(ValueError, match="v_threshold"):
        load_backbone(other, tmp_path / "a.pth")


def test_a_failed_download_names_the_address(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(OSError, match=r"https://nowhere/a\.pth.*no route"):
        downloads.load_url("https://nowhere/a.pth", str(tmp_path))


def test_files_of_the_same_name_are_downloaded_apart(tmp_path, monkeypatch):
    asked = []

    def download(url, file, **_):
        asked.append(url)
        torch.save({"state_dict": {"w": torch.full((2,), float(len(asked)))}}, file)

    def weight(url):
        return downloads.load_url(url, str(tmp_path))["state_dict"]["w"].tolist()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    urls = [f"https://nowhere/{run}/epoch_10.pth" for run in "ab"]
    assert [weight(url) for url in (*urls, *urls)] == [[1, 1], [2, 2]] * 2
    mirrors = [f"https://{name}.org/resnet50-11ad3fa6.pth" for name in "ab"]
    assert weight(mirrors[0]) == weight(mirrors[1]), "its name is that of its content"
    assert asked == [*urls, mirrors[0]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_do_not_fit(tmp_path, value):
    state = Spikformer(ARCH).state_dict()
    name = next(name for name in state if name.endswith("running_var"))
    state[name][0] = value
    torch.save(state, tmp_path / "a.pth")
    backbone = Spikformer(ARCH)
    with pytest.raises(ValueError, match=re.escape(name)):
        load_backbone(backbone, tmp_path / "a.pth")
    text = load_backbone(backbone, tmp_path / "a.pth", strict=False)
    assert f"{len(state) - 1}/{len(state)}" in text
    assert backbone.state_dict()[name].isfinite().all()
