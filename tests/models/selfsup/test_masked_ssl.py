"""Masked autoencoding: what is hidden, what is compared, and what the result is."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.heads import MAEPretrainHead
from small_backbones import BACKBONES, SMALL
from torch.utils.data import Dataset
from toy_runs import toy_run

from snnssl_mm.datasets.data_error import PreflightError
from snnssl_mm.engine import PathScheduleHook
from snnssl_mm.models import MaskedPatchDecoder, load_backbone
from snnssl_mm.models.masking import VisiblePatches
from snnssl_mm.models.selfsup.masked_patches import cut_patches
from snnssl_mm.neurons import MixedNeuron
from snnssl_mm.testing.subject import LIVELY, randomize_norms

LOSS = dict(type="mmpretrain.PixelReconstructionLoss", criterion="L2")


def config(name="Spikformer", norm_pix=True, in_channels=3, bn="joint", **options):
    backbone = dict(type=f"snnssl_mm.{name}", time_steps=2, in_channels=in_channels)
    backbone |= SMALL[name] | dict(bn=bn)
    channels = MODELS.build(backbone).channels[-1]
    neck = dict(type="snnssl_mm.MaskedPatchDecoder", in_channels=channels)
    neck |= dict(embed_dims=8, depth=1, num_heads=2)
    head = dict(type="snnssl_mm.MaskedPatchHead", norm_pix=norm_pix, loss=LOSS)
    return dict(
        type="snnssl_mm.MaskedSSL", backbone=backbone, neck=neck, head=head, **options
    )


def build(*args, **options):
    torch.manual_seed(0)
    model = MODELS.build(config(*args, **options)).double()
    randomize_norms(model.backbone, *LIVELY)
    return model.train()


def images_of(model, rows=2, columns=3, samples=2, channels=3):
    sides = (rows * model.patch_size, columns * model.patch_size)
    return torch.randn(samples, channels, *sides, dtype=torch.float64)


def on_path(model, path):
    """Copy a model, and train it on another path."""
    alone = copy.deepcopy(model)
    alone.train_path = path
    return alone.train()


def part_of(patches, samples):
    return VisiblePatches(patches.visible[samples], patches.number)


@pytest.mark.parametrize(
    ("ratio", "hidden"), [(0.5, 8), (0.75, 12), (0.6, 10), (0.01, 1), (0.99, 15)]
)
def test_every_image_hides_the_given_share_of_its_patches(ratio, hidden):
    model = build(mask_ratio=ratio)
    patches = model.draw_patches(images_of(model, 4, 4, samples=64))
    assert ((~patches.visible).flatten(1).sum(1) == hidden).all()
    assert patches.number == 16 - hidden
    assert patches.visible.any(0).all(), "any patch may be seen"
    assert not patches.visible.all(0).any(), "and hidden"


def test_spread_of_the_features_is_monitored(monkeypatch):
    model = build()
    images = images_of(model, samples=5)
    patches = model.draw_patches(images)
    (channels,) = model.neck.in_norm.normalized_shape
    maps = torch.rand(2, 5, channels, 2, 3).double() * patches.visible[:, None]
    monkeypatch.setattr(model, "encode", lambda *_: maps)
    features = torch.stack(
        [
            maps[:, n, :, patches.visible[n]].mean(-1)  # [T, C]
            for n in range(5)
        ],
        dim=1,
    )
    directions = features / features.norm(dim=-1, keepdim=True)
    expected = directions.std(1, correction=0).mean() * channels**0.5
    found = model.loss(images, patches=patches)["embedding_std"]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    maps[:] = maps[:, :1].amax((-2, -1), keepdim=True)  # the same for all images
    assert model.loss(images, patches=patches)["embedding_std"] < 1e-6


def test_masks_follow_the_global_generator():
    model = build()
    images, seen = images_of(model, 4, 4), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seen.append(model.draw_patches(images).visible)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


@pytest.mark.parametrize("norm_pix", [True, False])
@pytest.mark.parametrize("name", ["Spikformer", "SpikeDrivenTransformer"])
def test_loss_is_that_of_a_loop_over_hidden_patches(name, norm_pix):
    model = build(name, norm_pix)
    images, size = images_of(model), model.patch_size
    patches = model.draw_patches(images)
    frozen = copy.deepcopy(model)  # running statistics move with every pass
    maps = frozen.encode(images, patches).mean(0)
    predicted = frozen.neck(maps, patches.visible)
    errors = []
    for image, visible, of_image in zip(
        images, patches.visible, predicted, strict=True
    ):
        for row in range(2):
            for column in range(3):
                if visible[row, column]:
                    continue
                patch = image[
                    :,
                    row * size : (row + 1) * size,
                    column * size : (column + 1) * size,
                ]
                if norm_pix:
                    var = patch.var(correction=1)
                    patch = (patch - patch.mean()) / (var + 1e-6).sqrt()
                guess = of_image[3 * row + column].view(size, size, 3)
                errors.append((guess.permute(2, 0, 1) - patch).square().mean())
    expected = torch.stack(errors).mean()
    found = model.loss(images, patches=patches)["loss"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("norm_pix", [True, False])
def test_targets_of_square_images_are_mmpretrains(norm_pix):
    head = MODELS.build(
        dict(type="snnssl_mm.MaskedPatchHead", loss=LOSS, patch_size=4, in_channels=3)
    )
    stock = MAEPretrainHead(LOSS, norm_pix, patch_size=4)
    head.norm_pix = norm_pix
    images = torch.randn(2, 3, 12, 12)
    assert torch.equal(head.construct_target(images), stock.construct_target(images))
    assert torch.equal(stock.unpatchify(cut_patches(images, 4)), images)


@pytest.mark.parametrize("path", ["spike", "analog", "dual"])
def test_hidden_pixels_are_targets_only(path):
    model = build(train_path=path)
    images = images_of(model)
    patches = model.draw_patches(images)
    hidden = patches.positions(*images.shape[-2:]).hidden
    changed = torch.where(hidden, -2 * images, images)
    seen = [model.encode(x, patches) for x in (images, changed)]
    assert seen[0].any()
    assert torch.equal(*seen)
    losses = [model.loss(x, patches=patches)["loss"] for x in (images, changed)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_with_per_view_norms_the_spiking_half_is_a_batch_of_its_own(name, dtype):
    dual = build(name, bn="per_view", train_path="dual").to(dtype)
    alone = on_path(dual, "spike")
    images = images_of(dual, samples=4).to(dtype)
    patches = dual.draw_patches(images)
    maps = dual.encode(images, patches)
    expected = alone.encode(images[:2], part_of(patches, slice(2)))
    assert expected.any()
    torch.testing.assert_close(maps[:, :2], expected)
    for key, statistics in alone.named_buffers():  # evaluation spikes
        torch.testing.assert_close(dual.get_buffer(key), statistics)


def test_with_per_view_norms_the_analog_half_is_a_batch_of_its_own():
    dual = build(bn="per_view", train_path="dual")
    alone = on_path(dual, "analog")
    images = images_of(dual, samples=4)
    patches = dual.draw_patches(images)
    maps = dual.encode(images, patches)
    expected = alone.encode(images[2:], part_of(patches, slice(2, 4)))
    torch.testing.assert_close(maps[:, 2:], expected)


@pytest.mark.parametrize("path", ["spike", "analog"])
def test_on_one_path_per_view_norms_are_joint_ones(path):
    maps = []
    for bn in ("joint", "per_view"):
        model = build(bn=bn, train_path=path)
        images = images_of(model, samples=3)  # no halves
        maps.append(model.encode(images, model.draw_patches(images)))
    torch.testing.assert_close(*maps)


def test_decoder_reads_visible_features_and_knows_places():
    decoder = MaskedPatchDecoder(5, 12, embed_dims=8, depth=1, num_heads=2).double()
    maps = torch.randn(1, 5, 2, 3, dtype=torch.float64)
    visible = torch.tensor([[[1, 0, 1], [0, 1, 0]]]).bool()
    noise = torch.where(visible.unsqueeze(1), 0, torch.randn_like(maps))
    predicted = decoder(maps, visible)
    assert torch.equal(predicted, decoder(maps + noise, visible))
    hidden = predicted[0, ~visible[0].flatten()]
    assert len(hidden.round(decimals=9).unique(dim=0)) == 3
    # Without features, rows differ by their places only.
    places = torch.stack([decoder(0 * maps, 0 * visible == 1)[0]]).view(2, 3, -1)
    assert not torch.allclose(places[0], places[1])


@pytest.mark.parametrize("name", BACKBONES)
def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    model.loss([images_of(model), images_of(model)])["loss"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    touched = [bool(p.grad.any()) for p in model.backbone.parameters()]
    assert sum(touched) > len(touched) / 2  # biases in front of norms get zero


@pytest.mark.parametrize("time_readout", ["mean", "last", "none"])
def test_clip_of_equal_frames_gives_the_loss_of_the_image(time_readout):
    model = build(time_readout=time_readout)
    images = images_of(model)
    patches = model.draw_patches(images)
    clip = images.expand(2, *images.shape)
    still, moving = (model.loss(x, patches=patches)["loss"] for x in (images, clip))
    torch.testing.assert_close(moving, still)


def test_time_steps_are_those_of_the_data():
    model = build(time_readout="none", in_channels=2)
    clip = torch.stack([images_of(model, channels=2) for _ in range(5)])
    patches = model.draw_patches(clip)
    maps = model.encode(clip, patches)
    assert len(maps) == 5
    per_step = [
        model.head.loss(
            model.neck(step, patches.visible),
            frame,
            (~patches.visible).flatten(1).double(),
        )
        for step, frame in zip(maps, clip, strict=True)
    ]
    found = model.loss(clip, patches=patches)["loss"]
    torch.testing.assert_close(found, torch.stack(per_step).mean())


def test_last_step_is_what_the_decoder_gets():
    model = build(time_readout="last")
    clip = torch.stack([images_of(model) for _ in range(3)])
    patches = model.draw_patches(clip)
    prediction = model.neck(model.encode(clip, patches)[-1], patches.visible)
    hidden = (~patches.visible).flatten(1).double()
    expected = model.head.loss(prediction, clip.mean(0), hidden)
    torch.testing.assert_close(model.loss(clip, patches=patches)["loss"], expected)


@pytest.mark.parametrize("name", BACKBONES)
def test_evaluation_is_the_plain_spiking_backbone(name, tmp_path):
    model = build(name, train_path="analog").float().eval()
    plain = MODELS.build(config(name)["backbone"])
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "mae.pth")
    assert "prefix 'backbone.'" in load_backbone(plain, tmp_path / "mae.pth")
    images = images_of(model).float()
    (features,), (expected,) = model(images), plain.eval()(images)
    assert features.any()
    assert torch.equal(features, expected)


def test_schedule_changes_path_and_time_steps():
    model = build()
    stages = [dict(train_path="analog", train_time_steps=1), dict(begin=0.5)]
    stages[1] |= dict(train_path="spike", train_time_steps=2)
    hook, seen = PathScheduleHook(stages), []
    logger = SimpleNamespace(info=lambda text: None)
    runner = SimpleNamespace(model=model, iter=0, max_iters=2, logger=logger)
    hook.before_train(runner)
    images = images_of(model)
    for runner.iter in range(2):
        hook.before_train_iter(runner, runner.iter)
        (path,) = {m.path for m in model.modules() if isinstance(m, MixedNeuron)}
        seen.append((path, len(model.encode(images, model.draw_patches(images)))))
    assert seen == [("analog", 1), ("spike", 2)]


class Images(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        image = torch.randn(3, 8, 8, generator=torch.manual_seed(index))
        return {"inputs": [image + 0.1 * torch.rand(1)], "data_samples": {}}


def loader(batch_size):
    return dict(
        dataset=Images(),
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=True),
        collate_fn=dict(type="default_collate"),
    )


def test_later_stage_that_halves_an_odd_batch_stops_before_step_1(tmp_path):
    stages = [dict(train_path="spike"), dict(begin=0.9, train_path="dual")]
    checked = dict(type="snnssl_mm.DataCheckHook", files=False)
    with pytest.raises(PreflightError, match="train_path='dual'"):
        toy_run(
            tmp_path,
            loader(3),
            dict(by_epoch=True, max_epochs=2),
            dict(interval=1),
            hooks=[checked, dict(type="snnssl_mm.PathScheduleHook", stages=stages)],
            model=build().float(),
        )


def test_resumed_training_draws_the_same_masks(tmp_path):
    weights = []
    for name, more in (
        ("whole", {}),
        ("resumed", dict(load_from=f"{tmp_path}/whole/epoch_1.pth", resume=True)),
    ):
        runner = toy_run(
            tmp_path / name,
            loader(4),
            dict(by_epoch=True, max_epochs=2),
            dict(interval=1),
            hooks=[dict(type="snnssl_mm.EpochSeedHook")],
            model=build().float(),
            experiment_name=f"masks-{name}-{tmp_path.name}",
            **more,
        )
        weights.append(runner.model.state_dict())
    assert runner.epoch == 2
    for key, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][key]), key


def test_errors_name_the_value_and_the_remedy():
    model = build()
    with pytest.raises(ValueError, match="8x10"):
        model.loss(torch.randn(2, 3, 8, 10, dtype=torch.float64))
    with pytest.raises(ValueError, match="4x4"):
        model.loss(images_of(model, 1, 1))
    with pytest.raises(ValueError, match=r"mask_ratio.*1\.0"):
        build(mask_ratio=1.0)
    with pytest.raises(ValueError, match="first"):
        build(time_readout="first")
    two = config()
    two["backbone"]["out_indices"] = (1, 2)
    with pytest.raises(ValueError, match="one map"):
        MODELS.build(two)
    with pytest.raises(ValueError, match="embed_dims"):
        MaskedPatchDecoder(4, 4, embed_dims=6, num_heads=4)
