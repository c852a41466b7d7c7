"""Stock downstream models of the three libraries on a tiny spiking backbone."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

ARCH = dict(embed_dims=32, depth=1, num_heads=2, mlp_ratio=1)
BACKBONE = dict(
    type="snnssl_mm.Spikformer",
    arch=ARCH,
    time_steps=2,
    out_indices=(0, 1, 2, 3),
    neuron=dict(v_threshold=0.3),
)
FPN = dict(type="mmdet.FPN", in_channels=[8, 16, 32, 32], out_channels=16, num_outs=5)
NORMALISE = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


def stock_model(folder, base, scope, changes):
    """Return the ``model`` of a library's base config, shrunk."""
    file = folder / "stock.py"
    file.write_text(f"_base_ = {base!r}\n")
    cfg = Config.fromfile(file)
    del cfg.model["backbone"]
    cfg.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
    init_default_scope(scope)
    return cfg.model


@pytest.fixture
def detector_cfg(tmp_path):
    """Stock Mask R-CNN, with options of the backbone and another neck."""

    def config(backbone=None, neck=FPN):
        head = "roi_head."
        changes = {
            "backbone": {**BACKBONE, **(backbone or {})},
            "rpn_head.in_channels": 16,
            "rpn_head.feat_channels": 16,
            f"{head}bbox_roi_extractor.out_channels": 16,
            f"{head}mask_roi_extractor.out_channels": 16,
            f"{head}bbox_head.in_channels": 16,
            f"{head}bbox_head.fc_out_channels": 32,
            f"{head}bbox_head.num_classes": 3,
            f"{head}mask_head.in_channels": 16,
            f"{head}mask_head.num_convs": 1,
            f"{head}mask_head.conv_out_channels": 16,
            f"{head}mask_head.num_classes": 3,
            "train_cfg.rpn_proposal.max_per_img": 50,
            "train_cfg.rcnn.sampler.num": 16,
            "test_cfg.rpn.max_per_img": 20,
            **{f"data_preprocessor.{key}": value for key, value in NORMALISE.items()},
        }
        base = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
        model = stock_model(tmp_path, base, "mmdet", changes)
        model.neck = neck
        return model

    return config


@pytest.fixture
def segmentor_cfg(tmp_path):
    """Stock semantic FPN or UPerNet (``head='uper'``)."""

    def config(backbone=None, neck=FPN, head="fpn"):
        norm = dict(type="BN", requires_grad=True)
        changes = {
            "backbone": {**BACKBONE, **(backbone or {})},
            "pretrained": None,
            "decode_head.in_channels": [16] * 4,
            "decode_head.channels": 16,
            "decode_head.num_classes": 3,
            "decode_head.norm_cfg": norm,
            "data_preprocessor.size": (64, 64),
            **{f"data_preprocessor.{key}": value for key, value in NORMALISE.items()},
        }
        base = {"fpn": "fpn_r50", "uper": "upernet_r50"}[head]
        base = f"mmseg::_base_/models/{base}.py"
        model = stock_model(tmp_path, base, "mmseg", changes)
        model.pop("auxiliary_head", None)
        model.neck = {**neck, "num_outs": 4}
        return model

    return config


@pytest.fixture
def classifier_cfg():
    """An mmpretrain classifier."""

    def config(backbone=None):
        init_default_scope("mmpretrain")
        return dict(
            type="mmpretrain.ImageClassifier",
            backbone={**BACKBONE, **(backbone or {})},
            neck=dict(type="mmpretrain.GlobalAveragePooling"),
            head=dict(type="mmpretrain.LinearClsHead", num_classes=3, in_channels=32),
            data_preprocessor=dict(
                type="mmpretrain.ClsDataPreprocessor",
                mean=NORMALISE["mean"],
                std=NORMALISE["std"],
                to_rgb=True,
            ),
        )

    return config


@pytest.fixture
def detection_batch():
    """Two images of different size with a box and a mask, as a data loader packs."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    inputs, samples = [], []
    for height, width in ((64, 64), (60, 70)):
        inputs.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8))
        mask = np.zeros((1, height, width), np.uint8)
        mask[:, 10:40, 10:50] = 1
        shape = dict(img_shape=(height, width), ori_shape=(height, width))
        sample = DetDataSample(metainfo=dict(scale_factor=(1.0, 1.0), **shape))
        sample.gt_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.tensor([[10.0, 10.0, 50.0, 40.0]])),
            labels=torch.tensor([1]),
            masks=BitmapMasks(mask, height, width),
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@pytest.fixture
def segmentation_batch():
    """Two images with a label map."""
    from mmseg.structures import SegDataSample

    inputs, samples = [], []
    for _ in range(2):
        inputs.append(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8))
        shapes = dict.fromkeys(("img_shape", "ori_shape", "pad_shape"), (64, 64))
        sample = SegDataSample(metainfo=shapes)
        labels = torch.zeros(1, 64, 64, dtype=torch.long)
        labels[:, 16:48, 16:48] = 2
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)
