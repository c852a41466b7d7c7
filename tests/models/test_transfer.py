"""Pretrained weights in stock models of mmpretrain, mmdet and mmseg."""

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.registry import MODELS

from snnssl_mm.models import DualPathSSL, load_backbone
from snnssl_mm.neurons import MixedLIF

KINDS = ["classifier_cfg", "detector_cfg", "segmentor_cfg"]


@pytest.fixture
def pretrained(tmp_path, classifier_cfg):
    """A whole self-supervised checkpoint, and its backbone's tensors."""
    torch.manual_seed(3)
    model = DualPathSSL(
        backbone=classifier_cfg()["backbone"],
        neck=dict(
            type="mmpretrain.NonLinearNeck",
            in_channels=32,
            hid_channels=8,
            out_channels=4,
            norm_cfg=dict(type="BN1d"),
        ),
        head=dict(
            type="snnssl_mm.TemporalLossHead",
            loss=dict(type="snnssl_mm.CrossTemporalLoss"),
        ),
    )
    model.train()
    for _ in range(3):  # statistics that no other network has
        model.project(torch.rand(4, 3, 64, 64))
    file = str(tmp_path / "pretrained.pth")
    torch.save(dict(meta={}, state_dict=model.state_dict()), file)
    return file, model.backbone.state_dict()


@pytest.fixture
def build(pretrained, request):
    """Build a downstream model as the Runner does, from the pretrained backbone."""

    def model(kind, **options):
        init_cfg = dict(type="snnssl_mm.BackboneInit", checkpoint=pretrained[0])
        cfg = request.getfixturevalue(kind)(dict(init_cfg=init_cfg, **options))
        built = MODELS.build(cfg)
        built.init_weights()
        return built

    return model


@pytest.mark.parametrize("kind", KINDS)
def test_every_backbone_tensor_is_the_checkpoints(build, pretrained, kind):
    loaded = build(kind).backbone.state_dict()
    assert loaded.keys() == pretrained[1].keys()
    for name, tensor in pretrained[1].items():
        assert (loaded[name] - tensor).abs().max() == 0, name


def test_same_image_same_features(build):
    """Each library's own preprocessor included, on one image of three."""
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    features = []
    for kind in KINDS:
        model = build(kind).eval()
        inputs = image[None] if kind == "classifier_cfg" else [image]
        data = dict(inputs=inputs, data_samples=None)
        if kind == "segmentor_cfg":
            model.data_preprocessor.size = None
        batch = model.data_preprocessor(data)["inputs"]
        with torch.no_grad():
            features.append(model.backbone(batch))
    for others in features[1:]:
        for map_, other in zip(features[0], others, strict=True):
            assert torch.equal(map_, other)
    assert all(map_.any() for map_ in features[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [True, False])
def test_downstream_backbones_are_fully_spiking(build, kind, mode):
    model, values = build(kind).train(mode), []
    neurons = [m for m in model.modules() if isinstance(m, MixedLIF)]
    for neuron in neurons:
        neuron.register_forward_hook(lambda m, i, out: values.append(out.unique()))
    model.backbone(torch.rand(2, 3, 64, 64))
    assert len(values) == len(neurons) == 10
    assert torch.equal(torch.cat(values).unique(), torch.tensor([0.0, 1.0]))


def test_averaged_weights_of_mmengines_hook_are_taken(classifier_cfg, tmp_path):
    """Its checkpoint holds them as state_dict, and the others as ema_state_dict."""
    model = MODELS.build(classifier_cfg())
    hook = EMAHook(momentum=0.5)
    runner = type("Runner", (), dict(model=model, iter=0))
    hook.before_run(runner)
    for value in (0.0, 4.0):
        with torch.no_grad():
            model.backbone.stem.position.bn.bias.fill_(value)
        hook.after_train_iter(runner, 0)
    checkpoint = dict(state_dict=dict(model.state_dict()))
    hook.before_save_checkpoint(runner, checkpoint)
    file = str(tmp_path / "ema.pth")
    torch.save(checkpoint, file)
    target = MODELS.build(classifier_cfg()).backbone
    assert "prefix 'backbone.'" in load_backbone(target, file)
    assert torch.equal(target.stem.position.bn.bias, torch.full((32,), 2.0))
