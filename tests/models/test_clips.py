"""Clips from the loader reach spiking networks time first, in every model."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from snnssl_mm.models import ClipDataPreprocessor, TwoViewDataPreprocessor
from snnssl_mm.models.clips import (
    refuse_ambiguous_clips,
    require_time_first,
    samples_first,
    time_first,
)

CLS = "mmpretrain.ClsDataPreprocessor"
BACKBONE = dict(
    type="snnssl_mm.Spikingformer",
    arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1),
    in_channels=2,
)


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


def clips(samples=3, steps=5, channels=2, size=32):
    torch.manual_seed(0)
    return torch.rand(samples, steps, channels, size, size)


def labelled(count=3):
    return [DataSample().set_gt_label(index % 2) for index in range(count)]


def classifier(preprocessor, **options):
    settings = dict(
        type="ImageClassifier",
        data_preprocessor=preprocessor,
        backbone=BACKBONE,
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=2, in_channels=16),
        **options,
    )
    torch.manual_seed(0)
    return MODELS.build(settings)


def test_axes_are_exchanged_and_back():
    batch = clips()
    assert torch.equal(time_first(batch)[4, 1], batch[1, 4])
    assert torch.equal(samples_first(time_first(batch)), batch)
    images = batch[:, 0]
    assert time_first(images) is images
    assert torch.equal(samples_first(images), images)
    with pytest.raises(ValueError, match=r"\(2, 32, 32\)"):
        time_first(batch[0, 0])


def test_two_views_become_time_first():
    batch = [clips(), clips() + 1]
    found = TwoViewDataPreprocessor()({"inputs": batch, "data_samples": None})
    for clip, view in zip(batch, found["inputs"], strict=True):
        assert torch.equal(view, clip.transpose(0, 1))


@pytest.mark.parametrize("collated", [True, False])
def test_frames_are_prepared_as_images_are(collated):
    """As mmpretrain prepares each time step by itself."""
    settings = dict(type=CLS, mean=[0.2, 0.4, 0.6], std=[1, 2, 3], to_rgb=True)
    settings |= dict(pad_size_divisor=16, num_classes=2)
    batch, samples = clips(channels=3, size=24), labelled()
    inputs = batch if collated else list(batch)
    ours = ClipDataPreprocessor(settings)({"inputs": inputs, "data_samples": samples})
    stock = MODELS.build(settings)
    for step, frame in enumerate(ours["inputs"]):
        expected = stock({"inputs": list(batch[:, step])})["inputs"]
        assert expected.shape == (3, 3, 32, 32)
        torch.testing.assert_close(frame, expected)
    assert [int(sample.gt_label) for sample in ours["data_samples"]] == [0, 1, 0]


def test_clips_of_different_sizes_are_padded():
    batch = [clips(1, size=24)[0], clips(1, size=32)[0]]
    found = ClipDataPreprocessor(dict(type=CLS))({"inputs": batch})["inputs"]
    assert found.shape == (5, 2, 2, 32, 32)
    assert torch.equal(found[:, 0, :, :24, :24], batch[0])
    assert torch.equal(found[:, 1], batch[1])
    assert not found[:, 0, :, 24:].any()


def test_mixup_mixes_complete_clips():
    mixup = dict(augments=[dict(type="Mixup", alpha=1.0)])
    settings = dict(type=CLS, num_classes=2)
    preprocessor = ClipDataPreprocessor(settings, batch_augments=mixup)
    batch = torch.stack([torch.zeros(5, 2, 8, 8), torch.ones(5, 2, 8, 8)])
    data = {"inputs": batch, "data_samples": labelled(2)}
    found = preprocessor(data, training=True)
    shares = torch.stack([sample.gt_score[1] for sample in found["data_samples"]])
    torch.testing.assert_close(
        found["inputs"], shares[:, None, None, None].expand(5, 2, 2, 8, 8)
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.rand(2, 3, 8, 8), r"\(2, 3, 8, 8\)"),
        ([torch.rand(3, 8, 8)], r"\(3, 8, 8\)"),
        ([torch.rand(3, 2, 8, 8), torch.rand(4, 2, 8, 8)], r"\(3, 2\), \(4, 2\)"),
        (torch.full((2, 3, 2, 8, 8), float("nan")), "NaN"),
    ],
    ids=["images", "list", "steps", "nan"],
)
def test_what_is_no_batch_of_clips_is_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        ClipDataPreprocessor(dict(type=CLS))({"inputs": inputs})


@pytest.mark.parametrize("steps", [2, 3, 5])
def test_classifiers_take_clips_of_any_number_of_steps(steps):
    """T is the data's, whatever ``time_steps`` says; also where T = N."""
    model = classifier(dict(type="snnssl_mm.ClipDataPreprocessor", data_preprocessor=
        dict(type="ClsDataPreprocessor")), train_cfg=None).eval()  # fmt: skip
    batch, samples = clips(steps=steps), labelled()
    scores = [
        found.pred_score
        for found in model.test_step({"inputs": batch, "data_samples": samples})
    ]
    assert len(scores) == 3
    for clip, score in zip(batch, scores, strict=True):
        alone = model.backbone(clip[:, None])[-1].mean((-2, -1))
        expected = model.head.fc(alone)[0].softmax(0)
        torch.testing.assert_close(score, expected)


def test_stock_preprocessors_are_refused_for_clips():
    batch = {"inputs": clips(), "data_samples": labelled()}
    stock, wrapped = MODELS.build(dict(type=CLS)), ClipDataPreprocessor(dict(type=CLS))
    for preprocessor in (wrapped, TwoViewDataPreprocessor()):
        require_time_first(preprocessor, preprocessor(batch)["inputs"], 3)
    require_time_first(stock, stock({"inputs": clips()[:, 0]})["inputs"], 3)
    with pytest.raises(ValueError, match="ClipDataPreprocessor"):
        require_time_first(stock, stock(batch)["inputs"], 3)
    equal = clips(3, 3)
    with pytest.raises(ValueError, match="ClipDataPreprocessor"):
        require_time_first(stock, [equal, equal], 3)
    # Another one that exchanges the axes, too.
    require_time_first(stock, time_first(clips()), 3)


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_refuses_them_at_its_first_batch(packed):
    model = classifier(dict(type=CLS), train_cfg=None).eval()
    refuse_ambiguous_clips(model)
    inputs = list(clips()) if packed else clips()
    with pytest.raises(ValueError, match="ClipDataPreprocessor"):
        model.test_step({"inputs": inputs, "data_samples": labelled()})
    model = classifier(dict(type=CLS), train_cfg=None).eval()
    refuse_ambiguous_clips(model)
    assert model.test_step({"inputs": clips()[:, 0], "data_samples": labelled()})
