"""The simple pyramid, alone and in stock heads."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from snnssl_mm.models import SimpleFeaturePyramid

NECK = dict(type="snnssl_mm.SimpleFeaturePyramid", in_channels=32, out_channels=16)


def test_levels_have_the_scales():
    maps = SimpleFeaturePyramid(8, 4, num_outs=5)((torch.rand(2, 8, 6, 10),))
    sides = [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    assert [tuple(m.shape) for m in maps] == [(2, 4, *side) for side in sides]
    assert torch.equal(maps[4], maps[3][..., ::2, ::2])


def test_level_is_local_and_aligned():
    """What changes in a pixel of the map changes around it in every level."""
    torch.manual_seed(0)
    pyramid = SimpleFeaturePyramid(8, 4).eval()
    before = torch.rand(1, 8, 16, 16)
    after = before.clone()
    after[..., 9, 5] += 1
    for scale, a, b in zip(
        (4, 2, 1, 0.5), pyramid((before,)), pyramid((after,)), strict=True
    ):
        rows, columns = ((a - b).abs().amax(dim=(0, 1)) > 0).nonzero().unbind(1)
        for changed, at in ((rows, 9), (columns, 5)):  # the 3x3 reaches one pixel more
            assert int(at * scale) - 1 == changed.min()
            assert int((at + 1) * scale - 0.01) + 1 == changed.max()


def test_samples_do_not_mix_by_default():
    pyramid = SimpleFeaturePyramid(8, 4).train()
    x = torch.rand(2, 8, 4, 4)
    alone = pyramid((x[:1],))
    for together, single in zip(pyramid((x,)), alone, strict=True):
        torch.testing.assert_close(together[:1], single)


def test_norm_cfg_replaces_every_norm():
    norm = dict(type="GN", num_groups=2)
    modules = list(SimpleFeaturePyramid(8, 4, norm_cfg=norm).modules())
    assert sum(isinstance(m, nn.GroupNorm) for m in modules) == 9
    assert not any(isinstance(m, nn.LayerNorm) for m in modules)


def test_trains_and_predicts_in_stock_mask_rcnn(detector_cfg, detection_batch):
    model = MODELS.build(detector_cfg(dict(out_indices=(2,)), {**NECK, "num_outs": 5}))
    data = model.data_preprocessor(detection_batch, training=True)
    total, losses = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert torch.isfinite(total)
    assert losses.keys() >= {"loss_rpn_cls", "loss_bbox", "loss_mask"}
    assert all(p.grad is not None for p in model.neck.parameters())
    assert all(p.grad is not None for p in model.backbone.parameters())
    results = model.eval().test_step(detection_batch)
    for result, image in zip(results, detection_batch["inputs"], strict=True):
        masks = result.pred_instances.masks
        assert len(masks) == len(result.pred_instances.bboxes)
        assert masks.shape[1:] == image.shape[1:]


@pytest.mark.parametrize("head", ["fpn", "uper"])
def test_trains_and_predicts_in_stock_segmentors(
    segmentor_cfg, segmentation_batch, head
):
    model = MODELS.build(segmentor_cfg(dict(out_indices=(2,)), NECK, head))
    data = model.data_preprocessor(segmentation_batch, training=True)
    total, _ = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is not None for p in model.neck.parameters())
    assert all(p.grad is not None for p in model.backbone.parameters())
    for result in model.eval().test_step(segmentation_batch):
        assert result.pred_sem_seg.data.shape == (1, 64, 64)


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"\(4, 2, 1, 0.5\).*\(8, 4\)"):
        SimpleFeaturePyramid(8, scales=(8, 4))
    with pytest.raises(ValueError, match="num_outs=3.*4 scales"):
        SimpleFeaturePyramid(8, num_outs=3)
    with pytest.raises(ValueError, match="4.*6"):
        SimpleFeaturePyramid(6)
    pyramid, x = SimpleFeaturePyramid(8, 4), torch.rand(1, 8, 4, 4)
    with pytest.raises(ValueError, match=r"2 maps.*out_indices=\(2,\)"):
        pyramid((x, x))
    with pytest.raises(ValueError, match="a tensor"):
        pyramid(x)
    with pytest.raises(ValueError, match=r"\[N, 8, H, W\].*\(1, 4, 4, 4\)"):
        pyramid((x[:, :4],))
    with pytest.raises(ValueError, match="time_readout"):
        pyramid((x[None],))
