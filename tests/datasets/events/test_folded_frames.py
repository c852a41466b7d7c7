"""Clips as images: stock transforms, then the backbone, against frame by frame."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope
from mmengine.runner import Runner

from snnssl_mm.checks.data import check_data
from snnssl_mm.datasets.events.folded_frames import FoldFrames
from snnssl_mm.models.clips import unfold_frames

CONFIGS = Path(__file__).parents[3] / "configs"
T, C, H, W = 4, 2, 12, 10


@pytest.fixture
def clip():
    return np.random.default_rng(0).random((T, C, H, W), np.float32)


def folded(clip):
    return FoldFrames().transform({"img": clip})


def unfolded(image):
    """What a backbone sees of an image ``[H, W, T C]``: ``[T, C, H, W]``."""
    batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return unfold_frames(batch, T, C)[:, 0].numpy()


def test_a_backbone_sees_the_clip_again(clip):
    results = folded(clip)
    assert results["img"].shape == (H, W, T * C)
    assert results["img_shape"] == results["ori_shape"] == (H, W)
    np.testing.assert_array_equal(unfolded(results["img"]), clip)


@pytest.mark.parametrize("library", ["mmdet", "mmseg"])
def test_stock_transforms_change_each_frame_alike(clip, library):
    init_default_scope(library)
    flip, pad, resize = (
        TRANSFORMS.build(dict(type=name, **options))
        for name, options in (
            ("RandomFlip", dict(prob=1.0)),
            ("Pad", dict(size=(16, 16), pad_val=dict(img=0.0, seg=255))),
            ("Resize", dict(scale=(2 * W, 2 * H), interpolation="nearest")),
        )
    )
    flipped = flip(folded(clip))["img"]
    np.testing.assert_array_equal(unfolded(flipped), clip[..., ::-1])
    padded = unfolded(pad(folded(clip))["img"])
    np.testing.assert_array_equal(padded[..., :H, :W], clip)
    assert padded.shape[-2:] == (16, 16)
    assert not padded[..., H:, :].any()
    enlarged = unfolded(resize(folded(clip))["img"])
    np.testing.assert_array_equal(enlarged, clip.repeat(2, -1).repeat(2, -2))


def test_an_image_is_no_clip(clip):
    with pytest.raises(ValueError, match=r"\(2, 12, 10\)"):
        folded(clip[0])


@pytest.mark.parametrize(
    "name",
    [
        "detection/mask-rcnn_spikformer_fpn_events",
        "detection/retinanet_spikformer_fpn_events",
        "segmentation/semantic-fpn_spikformer_events",
    ],
)
def test_stock_data_preprocessors_and_models_take_them(name, tmp_path):
    """What reaches the stem is what EventFrames made of the recording."""
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    init_default_scope(cfg.default_scope)
    loader = cfg.train_dataloader
    loader.batch_size = 2
    loader.sampler.shuffle = False
    loader.dataset.update(data_root=str(tmp_path / "data"), num_train=2, num_test=2)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    check_data(cfg)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = f"{cfg.default_scope}-{tmp_path.name}"
    runner = Runner.from_cfg(cfg)
    batch = next(iter(runner.build_dataloader(loader, seed=0)))
    stem = []
    runner.model.backbone.stem.register_forward_pre_hook(
        lambda _, inputs: stem.append(inputs[0].clone())
    )
    inputs = runner.model.data_preprocessor(batch, True)
    assert inputs["inputs"].shape == (2, 8, 64, 64)
    losses = runner.model(**inputs, mode="loss")
    total = sum(sum(v) if isinstance(v, list) else v for v in losses.values())
    assert torch.isfinite(total)
    frames = copy.deepcopy(loader.dataset.pipeline[:3])  # up to EventFrames
    settings = {**loader.dataset, "pipeline": frames}
    expected = runner.build_dataloader({**loader, "dataset": settings}, seed=0)
    for index, sample in enumerate(expected.dataset):
        np.testing.assert_array_equal(stem[0][:, index].numpy(), sample["img"])
