"""The algorithm: two views in one pass, dual only in training, spiking elsewhere."""

import copy

import pytest
import torch
from mmengine.registry import MODELS

from snnssl_mm.losses import CrossTemporalLoss
from snnssl_mm.models import PerViewBatchNorm2d
from snnssl_mm.neurons import MixedLIF


def config(**options):
    backbone = dict(
        type="snnssl_mm.Spikformer",
        arch=dict(embed_dims=16, depth=1, num_heads=2),
        stem="cifar",
        time_steps=3,
        bn=options.pop("bn", "joint"),
    )
    neck = dict(
        type="mmpretrain.NonLinearNeck",
        in_channels=16,
        hid_channels=32,
        out_channels=8,
        num_layers=3,
        with_last_bn=False,
        norm_cfg=dict(type="BN1d"),
    )
    loss = options.pop("loss", dict(type="snnssl_mm.CrossTemporalLoss"))
    head = dict(type="snnssl_mm.TemporalLossHead", loss=loss)
    return dict(
        type="snnssl_mm.DualPathSSL", backbone=backbone, neck=neck, head=head, **options
    )


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(config(**options))


def two_views(batch=6, size=8):
    return [torch.randn(batch, 3, size, size) for _ in "ab"]


def paths(model):
    return {m.path for m in model.modules() if isinstance(m, MixedLIF)}


def test_dual_in_train_mode_only():
    model = build()
    assert model.training
    assert paths(model) == {"dual"}
    assert paths(model.train()) == {"dual"}
    assert paths(model.eval()) == {"spike"}
    assert paths(copy.deepcopy(model).train()) == {"dual"}


@pytest.mark.parametrize("train_path", ["spike", "analog"])
def test_ablation_paths(train_path):
    model = build(train_path=train_path)
    assert paths(model.train()) == {train_path}
    assert paths(model.eval()) == {"spike"}


def test_view_a_spikes_and_view_b_is_analog():
    model, outputs = build().train(), []
    neuron = model.backbone.stem.stages[1].neuron
    neuron.register_forward_hook(lambda m, i, out: outputs.append(out))
    model(two_views(), mode="loss")
    spiking, analog = outputs[0].chunk(2, dim=1)
    assert set(spiking.unique().tolist()) <= {0.0, 1.0}
    assert len(analog.unique()) > 2


def test_loss_compares_the_projections_of_both_views():
    model, views = build().train(), two_views()
    result = model(views, mode="loss")
    z_a, z_b = model.project(torch.cat(views)).chunk(2, dim=1)
    torch.testing.assert_close(result["loss"], CrossTemporalLoss()(z_a, z_b))
    parts = result["on_diagonal"] + result["off_diagonal"]
    torch.testing.assert_close(parts, result["loss"].detach())


@pytest.mark.parametrize("bn", ["joint", "per_view"])
@pytest.mark.parametrize(
    "loss", ["CrossTemporalLoss", "BoundaryTemporalLoss", "TimeFlattenedLoss"]
)
def test_every_parameter_gets_a_gradient(loss, bn):
    model = build(loss=dict(type=f"snnssl_mm.{loss}"), bn=bn).train()
    model(two_views(batch=5), mode="loss")["loss"].backward()  # odd batch
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_first_half_of_four_views_spikes():
    model, views, outputs = build().train(), [*two_views(), *two_views()], []
    neuron = model.backbone.stem.stages[1].neuron
    neuron.register_forward_hook(lambda m, i, out: outputs.append(out))
    result = model(views, mode="loss")
    spiking, analog = outputs[0].chunk(2, dim=1)
    assert set(spiking.unique().tolist()) <= {0.0, 1.0}
    assert len(analog.unique()) > 2
    z = model.project(torch.cat(views)).chunk(4, dim=1)
    torch.testing.assert_close(result["loss"], CrossTemporalLoss()(*z))


def test_small_crops_pass_the_network_apart():
    model = build().train()
    whole, small = two_views(), two_views(size=4)
    result = model([*whole, *small], mode="loss")
    z = [
        part
        for views in (whole, small)
        for part in model.project(torch.cat(views)).chunk(2, dim=1)
    ]
    torch.testing.assert_close(result["loss"], CrossTemporalLoss()(*z))
    with pytest.raises(ValueError, match="even number"):
        model([*whole, small[0]], mode="loss")


@pytest.mark.parametrize("path", ["dual", "spike", "analog"])
def test_per_view_statistics_are_those_of_two_passes(path):
    """One pass with ``bn='per_view'`` equals a pass of each half by itself."""
    model = build(bn="per_view", projector_bn="per_view", train_path=path)
    model = model.double().train()
    a, b = (view.double() for view in two_views())
    z_a, z_b = model.project(torch.cat([a, b])).chunk(2, dim=1)
    paths_of_views = {"dual": ("spike", "analog")}.get(path, (path, path))
    for view, z, own in ((a, z_a, paths_of_views[0]), (b, z_b, paths_of_views[1])):
        plain = build(train_path=own).double().train()
        torch.testing.assert_close(plain.project(view), z)


def test_per_view_statistics_end_with_training_mode():
    model = build(bn="per_view", projector_bn="per_view")
    norms = [m for m in model.modules() if isinstance(m, PerViewBatchNorm2d)]
    assert {norm.views for norm in norms} == {2}
    model.eval()
    assert {norm.views for norm in norms} == {1}


def test_clip_of_equal_frames_gives_the_loss_of_the_image():
    model, views = build().train(), two_views()
    clips = [view.expand(3, *view.shape) for view in views]
    still, moving = (model(v, mode="loss")["loss"] for v in (views, clips))
    torch.testing.assert_close(moving, still)
    model.eval()
    still, moving = (model.extract_feat(v[0])[0] for v in (views, clips))
    torch.testing.assert_close(moving, still)


def test_fewer_training_steps_average_the_frames_of_clips():
    clips = [torch.randn(4, *view.shape) for view in two_views()]
    halves = [clip.unflatten(0, (2, 2)).mean(1) for clip in clips]
    model = build(train_time_steps=2).train()
    reduced, expected = (model(v, mode="loss")["loss"] for v in (clips, halves))
    torch.testing.assert_close(reduced, expected)
    assert model.project(clips[0]).shape[0] == 4
    model.eval()  # evaluation has the time steps of the data
    assert torch.equal(model.with_train_time_steps(clips[0]), clips[0])
    with pytest.raises(ValueError, match=r"train_time_steps=3.*T=4"):
        build(train_time_steps=3).train()(clips, mode="loss")


def test_embedding_std_tells_collapse():
    from snnssl_mm.models.heads import embedding_std

    spread = torch.randn(2, 512, 64)
    collapsed = torch.ones(2, 512, 64) + 1e-3 * spread
    assert embedding_std(spread) == pytest.approx(1, abs=0.05)
    assert embedding_std(collapsed) < 0.01


def test_nan_in_the_images_is_refused():
    model, views = build().train(), two_views()
    views[1][2, 0, 3, 3] = float("nan")
    batch = {"inputs": views, "data_samples": None}
    with pytest.raises(ValueError, match="view 1"):
        model.data_preprocessor(batch, training=True)


def test_clips_are_converted_along_their_channels():
    settings = dict(type="snnssl_mm.TwoViewDataPreprocessor", to_rgb=True)
    preprocessor = MODELS.build(settings)
    clip = torch.rand(2, 4, 3, 8, 8)
    (out,) = preprocessor({"inputs": [clip], "data_samples": None})["inputs"]
    assert torch.equal(out, clip.flip(2).transpose(0, 1))


def test_errors_name_the_value_and_the_remedy():
    model = build().train()
    with pytest.raises(ValueError, match="B=1"):
        model(two_views(batch=1), mode="loss")
    with pytest.raises(ValueError, match="default_collate"):
        model.data_preprocessor({"inputs": [[torch.zeros(3, 8, 8)]]}, training=True)
    with pytest.raises(ValueError, match="two views"):
        model(two_views()[0], mode="loss")
    plain = config()
    plain["backbone"]["neuron"] = dict(type="mmengine.MyReLU")
    MODELS.register_module("MyReLU", module=lambda **_: torch.nn.ReLU(), force=True)
    with pytest.raises(ValueError, match="MixedLIF"):
        MODELS.build(plain)
