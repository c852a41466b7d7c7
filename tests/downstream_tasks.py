"""A few images with boxes, masks and label maps, and tiny models for them."""

import json

import cv2
import numpy as np

NAMES = ("square", "disc", "bar")
BACKBONE = dict(
    type="snnssl_mm.Spikformer",
    arch=dict(embed_dims=16, depth=1, num_heads=2, mlp_ratio=1),
    time_steps=2,
    out_indices=(0, 1, 2, 3),
)
CHANNELS = [4, 8, 16, 16]
SIZE = (48, 64)
RUNTIME = dict(
    optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-3)),
    default_hooks=dict(logger=dict(type="LoggerHook", interval=1)),
    custom_imports=dict(imports=["snnssl_mm"]),
)


def write_scenes(root):
    """Four images: one rectangle each, as COCO annotations and as label maps."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    images, annotations = [], []
    for folder in ("images", "maps"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index in range(4):
        image = rng.integers(0, 60, (height, width, 3), np.uint8)
        x, y, w, h = 8 + 4 * index, 6, 24, 20
        category = index % 3
        image[y : y + h, x : x + w, category] = 255
        labels = np.zeros(SIZE, np.uint8)
        labels[y : y + h, x : x + w] = category
        cv2.imwrite(str(root / "images" / f"{index}.png"), image)
        cv2.imwrite(str(root / "maps" / f"{index}.png"), labels)
        images.append(
            dict(id=index, file_name=f"{index}.png", height=height, width=width)
        )
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append(
            dict(
                id=index + 1,
                image_id=index,
                category_id=category + 1,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[corners],
            )
        )
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(NAMES)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / "instances.json").write_text(json.dumps(content))


def loader(dataset, train):
    return dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=train),
        dataset=dataset,
    )


def detection(root):
    """Mask R-CNN with the stock pipeline, on images of 64 pixels."""
    channels = 16

    def dataset(train):
        return dict(
            type="CocoDataset",
            data_root=str(root),
            ann_file="instances.json",
            data_prefix=dict(img="images/"),
            metainfo=dict(classes=NAMES),
            test_mode=not train,
            pipeline=[
                dict(type="LoadImageFromFile"),
                *[dict(type="LoadAnnotations", with_bbox=True, with_mask=True)] * train,
                dict(type="Resize", scale=(64, 64), keep_ratio=True),
                dict(
                    type="PackDetInputs",
                    meta_keys=(
                        "img_id",
                        "img_path",
                        "ori_shape",
                        "img_shape",
                        "scale_factor",
                    ),
                ),
            ],
        )

    evaluator = dict(
        type="CocoMetric", ann_file=str(root / "instances.json"), metric=["bbox"]
    )
    return dict(
        _base_=[
            "mmdet::_base_/models/mask-rcnn_r50_fpn.py",
            "mmdet::_base_/default_runtime.py",
        ],
        model=dict(
            backbone=dict(_delete_=True, **BACKBONE),
            neck=dict(in_channels=CHANNELS, out_channels=channels),
            rpn_head=dict(in_channels=channels, feat_channels=channels),
            roi_head=dict(
                bbox_roi_extractor=dict(out_channels=channels),
                bbox_head=dict(in_channels=channels, fc_out_channels=16, num_classes=3),
                mask_roi_extractor=dict(out_channels=channels),
                mask_head=dict(
                    num_convs=1,
                    in_channels=channels,
                    conv_out_channels=channels,
                    num_classes=3,
                ),
            ),
        ),
        train_dataloader=loader(dataset(True), True),
        val_dataloader=loader(dataset(False), False),
        test_dataloader=loader(dataset(False), False),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1, val_interval=2),
        val_cfg=dict(type="ValLoop"),
        test_cfg=dict(type="TestLoop"),
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        **RUNTIME,
    )


def spiking_detection(root):
    """The same, with spikes up to the last layers."""
    settings = detection(root)
    model = settings["model"]
    model["backbone"]["time_readout"] = "none"
    model["neck"] = dict(
        _delete_=True,
        type="snnssl_mm.SpikingNeck",
        neck=dict(type="FPN", num_outs=5, **model["neck"]),
        time_readout="none",
    )
    model["rpn_head"]["type"] = "snnssl_mm.SpikingRPNHead"
    heads = model["roi_head"]
    heads["type"] = "snnssl_mm.SpikingStandardRoIHead"
    heads["bbox_head"]["type"] = "snnssl_mm.SpikingShared2FCBBoxHead"
    heads["mask_head"]["type"] = "snnssl_mm.SpikingFCNMaskHead"
    for name in ("bbox_roi_extractor", "mask_roi_extractor"):
        heads[name]["type"] = "snnssl_mm.SpikingSingleRoIExtractor"
    return settings


def segmentation(root, divisor=32):
    """Semantic FPN with the stock pipeline; ``divisor`` pads images when testing."""

    def dataset(train):
        return dict(
            type="BaseSegDataset",
            data_root=str(root),
            img_suffix=".png",
            data_prefix=dict(img_path="images", seg_map_path="maps"),
            metainfo=dict(classes=NAMES),
            pipeline=[
                dict(type="LoadImageFromFile"),
                dict(type="LoadAnnotations"),
                *[dict(type="RandomCrop", crop_size=(32, 32))] * train,
                dict(type="PackSegInputs"),
            ],
        )

    pad = dict(test_cfg=dict(size_divisor=divisor)) if divisor else {}
    return dict(
        _base_=[
            "mmseg::_base_/models/fpn_r50.py",
            "mmseg::_base_/default_runtime.py",
        ],
        model=dict(
            pretrained=None,
            data_preprocessor=dict(size=(32, 32), **pad),
            backbone=dict(_delete_=True, **BACKBONE),
            neck=dict(in_channels=CHANNELS, out_channels=16),
            decode_head=dict(
                in_channels=[16] * 4,
                channels=16,
                num_classes=3,
                norm_cfg=dict(type="BN", requires_grad=True),
            ),
        ),
        train_dataloader=loader(dataset(True), True),
        val_dataloader=loader(dataset(False), False),
        test_dataloader=loader(dataset(False), False),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=2, val_interval=10),
        val_cfg=dict(type="ValLoop"),
        test_cfg=dict(type="TestLoop"),
        val_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
        test_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
        **RUNTIME,
    )


def classification(root):
    """A classifier for the three shapes."""
    images = [f"{index}.png {index % 3}" for index in range(4)]
    (root / "labels.txt").write_text("\n".join(images))

    def dataset():
        return dict(
            type="CustomDataset",
            data_root=str(root),
            ann_file="labels.txt",
            data_prefix="images",
            metainfo=dict(classes=NAMES),
            pipeline=[
                dict(type="LoadImageFromFile"),
                dict(type="Resize", scale=32),
                dict(type="PackInputs"),
            ],
        )

    return dict(
        _base_=["mmpretrain::_base_/default_runtime.py"],
        model=dict(
            type="ImageClassifier",
            backbone=dict(BACKBONE, out_indices=(2,)),
            neck=dict(type="GlobalAveragePooling"),
            head=dict(type="LinearClsHead", num_classes=3, in_channels=16),
        ),
        data_preprocessor=dict(
            num_classes=3, mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True
        ),
        train_dataloader=loader(dataset(), True),
        val_dataloader=loader(dataset(), False),
        test_dataloader=loader(dataset(), False),
        train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=2),
        val_cfg=dict(),
        test_cfg=dict(),
        val_evaluator=dict(type="Accuracy", topk=(1,)),
        test_evaluator=dict(type="Accuracy", topk=(1,)),
        **RUNTIME,
    )


TASKS = dict(
    detection=detection,
    spiking_detection=spiking_detection,
    segmentation=segmentation,
    classification=classification,
)


def write_config(file, settings):
    """Write settings as a config file that inherits as a user's would."""
    file.write_text("\n".join(f"{key} = {value!r}" for key, value in settings.items()))
    return file
