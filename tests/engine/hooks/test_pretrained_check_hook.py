"""A run whose weights are not those of the checkpoint stops before its first step."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from snnssl_mm.engine import PretrainedCheckHook
from snnssl_mm.models import Spikformer, load_backbone

ARCH = dict(embed_dims=16, depth=1, num_heads=2)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(1)
    file = str(tmp_path / "checkpoint.pth")
    torch.save(Spikformer(ARCH).state_dict(), file)
    return file


def run(model, checkpoint, iteration=0, strict=True):
    logger = logging.getLogger("test")
    runner = SimpleNamespace(model=model, iter=iteration, logger=logger)
    PretrainedCheckHook(checkpoint, strict).before_train(runner)


def model_of(backbone):
    model = nn.Module()
    model.backbone = backbone
    return model


def test_loaded_weights_pass(checkpoint, caplog):
    backbone = Spikformer(ARCH)
    load_backbone(backbone, checkpoint)
    with caplog.at_level(logging.INFO):
        run(model_of(backbone), checkpoint)
    assert str(len(backbone.state_dict())) in caplog.text
    assert checkpoint in caplog.text


@pytest.mark.parametrize(
    "name", ["blocks.0.mlp.1.conv.weight", "stem.position.bn.bias"]
)
def test_one_changed_number_stops_the_run(checkpoint, name):
    backbone = Spikformer(ARCH)
    load_backbone(backbone, checkpoint)
    with torch.no_grad():
        backbone.get_parameter(name).view(-1)[-1] += 0.25
    with pytest.raises(RuntimeError, match=rf"1 of \d+ .*{name}.* 0\.25\b"):
        run(model_of(backbone), checkpoint)
    run(model_of(backbone), checkpoint, iteration=3)  # resumed: it has been trained


def test_nan_is_a_difference(checkpoint):
    backbone = Spikformer(ARCH)
    load_backbone(backbone, checkpoint)
    with torch.no_grad():
        backbone.stem.stages[0].conv.weight.view(-1)[0] = float("nan")
    with pytest.raises(RuntimeError, match=r"\binf\b"):
        run(model_of(backbone), checkpoint)


def test_not_strict_compares_what_was_loaded(checkpoint, tmp_path):
    state = torch.load(checkpoint)
    del state["stem.position.bn.bias"]
    torch.save(state, tmp_path / "part.pth")
    backbone = Spikformer(ARCH)
    load_backbone(backbone, str(tmp_path / "part.pth"), strict=False)
    with torch.no_grad():
        backbone.stem.position.bn.bias += 1
    run(model_of(backbone), str(tmp_path / "part.pth"), strict=False)
    with torch.no_grad():
        backbone.stem.position.bn.weight += 1
    with pytest.raises(RuntimeError, match=r"stem\.position\.bn\.weight"):
        run(model_of(backbone), str(tmp_path / "part.pth"), strict=False)


def test_stock_backbone_that_overwrites_what_was_loaded(tmp_path):
    """mmpretrain's ViT initialises its position embedding again after loading."""
    init_default_scope("mmpretrain")
    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)
    vit = dict(type="mmpretrain.VisionTransformer", arch=arch, img_size=32)
    torch.manual_seed(1)
    source = MODELS.build(vit)
    source.init_weights()
    file = str(tmp_path / "vit.pth")
    torch.save(source.state_dict(), file)
    init_cfg = dict(type="snnssl_mm.BackboneInit", checkpoint=file)
    backbone = MODELS.build({**vit, "init_cfg": init_cfg})
    backbone.init_weights()
    with pytest.raises(RuntimeError, match="1 of .*pos_embed"):
        run(model_of(backbone), file)


def test_stock_backbone_whose_children_initialise_themselves(tmp_path):
    """Their initialisation comes before loading, not after it."""
    init_default_scope("mmdet")
    resnet = dict(type="mmdet.ResNet", depth=18, base_channels=8)
    children = dict(type="Constant", val=0.0, layer="BatchNorm2d")
    torch.manual_seed(1)
    source = MODELS.build(resnet)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter += 1
    file = str(tmp_path / "resnet.pth")
    torch.save({"state_dict": source.state_dict()}, file)
    init_cfg = dict(type="snnssl_mm.BackboneInit", checkpoint=file)
    backbone = MODELS.build({**resnet, "init_cfg": init_cfg})
    for layer in backbone.children():
        if hasattr(layer, "init_weights"):
            layer.init_cfg = children
    backbone.init_weights()
    run(model_of(backbone), file)
    assert all((p >= 0.5).any() for p in backbone.parameters())
