"""Distillation: the teacher's features, images and weights; what is saved."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models import ResNet
from test_dual_path_ssl import config, two_views

from snnssl_mm.losses import FeatureDistillationLoss
from snnssl_mm.models import FrozenTeacher, load_backbone

RELU = dict(
    type="snnssl_mm.Spikformer",
    arch=dict(embed_dims=8, depth=1, num_heads=2),
    stem="cifar",
    time_steps=1,
    neuron=dict(type="snnssl_mm.ReLUNeuron"),
)
RESNET = dict(type="mmpretrain.ResNet", depth=18, stem_channels=8, base_channels=4)


def networks(settings):
    torch.manual_seed(1)
    network = MODELS.build(settings)
    network.eval()  # which returns nothing in mmpretrain
    return network


@pytest.fixture
def relu_file(tmp_path):
    file = tmp_path / "relu.pth"
    torch.save(dict(state_dict=networks(RELU).state_dict()), file)
    return str(file)


def build(checkpoint, backbone=RELU, loss=None, **teacher):
    torch.manual_seed(0)
    loss = loss or dict(type="snnssl_mm.FeatureDistillationLoss")
    frozen = dict(backbone=backbone, checkpoint=checkpoint, **teacher)
    preprocessor = dict(mean=[10.0, 20.0, 30.0], std=[2.0, 3.0, 4.0])
    model = MODELS.build(
        config(loss=loss, frozen_teacher=frozen, data_preprocessor=preprocessor)
    )
    return model.train()


@pytest.mark.parametrize("time", ["step", "mean"])
def test_student_matches_the_teachers_pooled_features(relu_file, time):
    loss = dict(type="snnssl_mm.FeatureDistillationLoss", time=time)
    model, views = build(relu_file, loss=loss), two_views()
    z = copy.deepcopy(model).project(torch.cat(views)).chunk(2, dim=1)
    relu = networks(RELU)
    targets = [relu(v)[0].mean((2, 3)).expand(3, -1, -1) for v in views]
    expected = FeatureDistillationLoss(time=time)(*z, targets=targets)
    found = model(views, mode="loss")
    torch.testing.assert_close(found["loss"], expected)
    found["loss"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    teacher = model.frozen_teacher.network
    assert all(p.grad is None for p in teacher.parameters())
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, relu.state_dict()[name]), "statistics stay, too"


def test_teacher_is_in_no_checkpoint_and_always_in_eval_mode(relu_file, tmp_path):
    model = build(relu_file)
    model(two_views(), mode="loss")
    assert not any("teacher" in name for name in model.state_dict())
    assert not any("teacher" in name for name, _ in model.named_modules())
    assert not model.train().frozen_teacher.network.training
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "student.pth")
    fresh = MODELS.build(config()["backbone"])
    assert "prefix 'backbone.'" in load_backbone(fresh, tmp_path / "student.pth")
    other = copy.deepcopy(model)
    assert other.frozen_teacher is not model.frozen_teacher
    moved = model.double().frozen_teacher.network
    assert {p.dtype for p in moved.parameters()} == {torch.float64}


def test_teacher_normalises_the_pixels_by_its_own_numbers(relu_file):
    mean, std = [100.0, 110.0, 120.0], [50.0, 60.0, 70.0]
    model = build(relu_file, mean=mean, std=std, flip_channels=True)
    pixels = 255 * torch.rand(2, 3, 8, 8)
    batch = {"inputs": [pixels], "data_samples": None}
    (images,) = model.data_preprocessor(batch, training=True)["inputs"]
    column = (torch.tensor(s).view(-1, 1, 1) for s in (mean, std))
    expected_mean, expected_std = column
    expected = networks(RELU)((pixels.flip(1) - expected_mean) / expected_std)[0]
    found = model.frozen_teacher(images, model.data_preprocessor)
    torch.testing.assert_close(found, expected.mean((2, 3)))


def test_any_backbone_any_size_and_clips(tmp_path):
    file = tmp_path / "resnet.pth"
    resnet = networks(RESNET)
    assert isinstance(resnet, ResNet)
    whole = {f"backbone.{k}": v for k, v in resnet.state_dict().items()}
    torch.save(dict(state_dict=whole), file)
    teacher = FrozenTeacher(RESNET, str(file), size=32)
    clip = torch.randn(3, 2, 3, 16, 16)
    frame = torch.nn.functional.interpolate(
        clip.mean(0), (32, 32), mode="bilinear", antialias=True
    )
    expected = resnet(frame)[-1].mean((2, 3))
    torch.testing.assert_close(teacher(clip, None), expected)


NOT_STRICT = {
    "no prefix": lambda file: dict(init_cfg=dict(type="Pretrained", checkpoint=file)),
    "ours": lambda file: dict(
        init_cfg=[dict(type="snnssl_mm.BackboneInit", checkpoint=file)]
    ),
    "stock": lambda file: dict(type="mmdet.ResNet", pretrained=file),
    "random": lambda file: dict(init_cfg=dict(type="Kaiming", layer="Conv2d")),
}


@pytest.mark.parametrize("way", NOT_STRICT)
def test_weights_that_are_not_loaded_strictly_are_refused(tmp_path, way):
    """mmengine would load no tensor named ``backbone.*``, and leave all random."""
    file, whole = str(tmp_path / "resnet.pth"), networks(RESNET).state_dict()
    torch.save({f"backbone.{name}": tensor for name, tensor in whole.items()}, file)
    backbone = {**RESNET, **NOT_STRICT[way](file)}
    with pytest.raises(ValueError, match="checkpoint"):
        FrozenTeacher(backbone)
    if way != "random":
        with pytest.raises(ValueError, match="checkpoint"):
            FrozenTeacher(backbone, file)
    teacher = FrozenTeacher(RESNET, file)
    teacher.load()
    for name, tensor in teacher.network.state_dict().items():
        assert torch.equal(tensor, whole[name])


class Tokens(torch.nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2)  # [N, L, C], as timm's transformers


def test_tokens_are_averaged_and_loading_draws_no_random_numbers():
    MODELS.register_module("Tokens", module=lambda **_: Tokens(), force=True)
    teacher = FrozenTeacher(dict(type="mmengine.Tokens", pretrained=True))
    images = torch.randn(2, 3, 4, 4)
    state = torch.get_rng_state()
    torch.testing.assert_close(teacher(images, None), images.mean((2, 3)))
    assert torch.equal(state, torch.get_rng_state())


def test_errors_name_the_value_and_the_remedy(relu_file):
    with pytest.raises(ValueError, match="checkpoint"):
        FrozenTeacher(RELU)
    with pytest.raises(ValueError, match="mean=.* and std"):
        FrozenTeacher(RELU, relu_file, mean=[0.0])
    with pytest.raises(ValueError, match="targets"):
        build(relu_file, loss=dict(type="snnssl_mm.CrossTemporalLoss"))
    with pytest.raises(ValueError, match="frozen_teacher"):
        MODELS.build(config(loss=dict(type="snnssl_mm.FeatureDistillationLoss")))
    model = build(f"{relu_file}.missing")
    with pytest.raises(FileNotFoundError):
        model(two_views(), mode="loss")
    wide = {**RELU, "arch": dict(embed_dims=16, depth=1, num_heads=2)}
    torch.save(dict(state_dict=networks(wide).state_dict()), relu_file)
    model = build(relu_file, wide)
    with pytest.raises(ValueError, match="out_channels=16"):
        model(two_views(), mode="loss")
    model = build(relu_file)
    with pytest.raises(ValueError, match="tensors"):
        model(two_views(), mode="loss")
