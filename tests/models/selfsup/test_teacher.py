"""Predictor and teacher of DualPathSSL: targets, paths, weights, checkpoints."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from test_dual_path_ssl import config, two_views

from snnssl_mm.engine import GroupedOptimWrapperConstructor
from snnssl_mm.losses import NegativeCosineLoss, NextStepLoss
from snnssl_mm.models import load_backbone
from snnssl_mm.neurons import MixedLIF
from snnssl_mm.recording.spike_recording import neurons_of

PREDICTOR = dict(
    type="mmpretrain.NonLinearNeck",
    in_channels=8,
    hid_channels=4,
    out_channels=8,
    with_avg_pool=False,
    with_last_bn=False,
    norm_cfg=dict(type="BN1d"),
)
COSINE = dict(type="snnssl_mm.NegativeCosineLoss")


def build(loss=COSINE, predictor=PREDICTOR, **options):
    torch.manual_seed(0)
    model = MODELS.build(config(loss=loss, predictor=predictor, **options))
    model.init_weights()
    return model.train()


def byol(**options):
    return build(teacher=dict(path="analog"), **options)


def changed(model):
    """The model after a training step of its own."""
    with torch.no_grad():
        for p in (*model.backbone.parameters(), *model.neck.parameters()):
            p += 0.1 * torch.randn_like(p)
    return model


@pytest.mark.parametrize("loss", [NegativeCosineLoss, NextStepLoss])
def test_simsiam_predicts_its_own_projections(loss):
    model, views = build(dict(type=f"snnssl_mm.{loss.__name__}")), two_views()
    z = model.project(torch.cat(views))
    predictions = model.predictor((z.flatten(0, 1),))[0].view_as(z)
    expected = loss()(*predictions.chunk(2, dim=1), targets=z.chunk(2, dim=1))
    found = model(views, mode="loss")
    torch.testing.assert_close(found["loss"], expected)
    found["loss"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_byol_predicts_the_teachers_projections_on_the_analog_path():
    model, views = changed(byol()), two_views()
    analog = copy.deepcopy(model)
    analog.backbone.load_state_dict(model.teacher.backbone.state_dict())
    analog.neck.load_state_dict(model.teacher.neck.state_dict())
    analog.train_path = "analog"
    targets = analog.train().project(torch.cat(views))
    z = model.project(torch.cat(views))
    predictions = model.predictor((z.flatten(0, 1),))[0].view_as(z)
    expected = NegativeCosineLoss()(
        *predictions.chunk(2, dim=1), targets=targets.chunk(2, dim=1)
    )
    found = model(views, mode="loss")
    torch.testing.assert_close(found["loss"], expected)
    found["loss"].backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == name.startswith("teacher."), name


def test_statistics_of_predictor_and_teacher_are_per_view_too():
    """One pass of both views equals a pass of each, which no other view can reach."""
    options = dict(bn="per_view", projector_bn="per_view", train_path="analog")
    model, views = byol(**options).double(), [v.double() for v in two_views()]
    whole = model.embed(torch.cat(views))
    model.projector_bn = "joint"  # of the single view that is passed
    for norm in model.modules():
        if hasattr(norm, "views"):
            norm.views = 1
    for index, view in enumerate(views):
        for both, single in zip(whole, model.embed(view), strict=True):
            torch.testing.assert_close(both.chunk(2, dim=1)[index], single)


def paths(module):
    return {m.path for m in module.modules() if isinstance(m, MixedLIF)}


def test_teacher_has_a_path_of_its_own_and_the_time_steps_of_the_student():
    model = byol(train_time_steps=2)
    assert paths(model.backbone) == {"dual"}
    assert paths(model.teacher) == {"analog"}
    assert model.teacher.backbone.time_steps == 2
    assert paths(model.eval()) == {"spike"}
    follower = build(teacher=dict())
    follower.train_path = "analog"
    assert paths(follower.train()) == {"analog"}


def test_teacher_begins_as_the_student_and_follows_it():
    model = byol()
    first = copy.deepcopy(model.backbone.state_dict())
    for name, tensor in model.teacher.backbone.state_dict().items():
        assert torch.equal(tensor, first[name])
    changed(model)
    model.teacher.update(model, 0.75)
    for name, p in model.teacher.backbone.named_parameters():
        student = model.backbone.state_dict()[name]
        torch.testing.assert_close(p, 0.75 * first[name] + 0.25 * student)


def test_optimizer_updates_what_has_a_gradient():
    model = byol()
    make = GroupedOptimWrapperConstructor(
        dict(type="OptimWrapper", optimizer=dict(type="AdamW", weight_decay=0.5)),
        paramwise_cfg=dict(bias_decay_mult=0.0),
    )
    wrapper, before = make(model), copy.deepcopy(model.state_dict())
    wrapper.update_params(model(two_views(), mode="loss")["loss"])
    updated = {id(p) for group in wrapper.param_groups for p in group["params"]}
    assert not updated & {id(p) for p in model.teacher.parameters()}
    weights = dict(model.named_parameters())
    for name, tensor in weights.items():
        same = torch.equal(tensor, before[name])
        assert same == name.startswith("teacher.") or name.endswith("bias")


def test_backbone_of_a_checkpoint_is_the_students(tmp_path):
    model = changed(byol())
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "byol.pth")
    fresh = MODELS.build(config()["backbone"])
    message = load_backbone(fresh, tmp_path / "byol.pth")
    assert "prefix 'backbone.'" in message
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, model.backbone.state_dict()[name])


def test_monitors_watch_the_student():
    model = byol()
    assert neurons_of(model).keys() == neurons_of(build()).keys()
    views = two_views()
    found = model(views, mode="loss")["embedding_std"]
    model.predictor = None  # of what it predicts, the spread says nothing
    assert model(views, mode="loss")["embedding_std"] == found


def test_small_crops_have_targets_too():
    model, views = byol(), [*two_views(), *two_views(size=4)]
    found = model(views, mode="loss")["loss"]
    parts = [model.embed(torch.cat(pair)) for pair in (views[:2], views[2:])]
    kinds = (
        [half for part in kind for half in part.chunk(2, dim=1)]
        for kind in zip(*parts, strict=True)
    )
    _, predictions, targets = kinds
    expected = NegativeCosineLoss()(*predictions, targets=targets)
    torch.testing.assert_close(found, expected)


def test_settings_that_do_nothing_are_refused():
    with pytest.raises(ValueError, match="CrossTemporalLoss"):
        build(dict(type="snnssl_mm.CrossTemporalLoss"))
    with pytest.raises(ValueError, match=r"1\.5"):
        build(teacher=dict(momentum=1.5))
    with pytest.raises(ValueError, match="'both'"):
        build(teacher=dict(path="both"))
