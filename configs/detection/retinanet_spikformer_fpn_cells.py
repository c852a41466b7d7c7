# RetinaNet on blood cells (COCO format, 3 classes), small enough for two CPU cores, https://github.com/open-mmlab/mmdetection/blob/main/configs/retinanet/retinanet_r50_fpn_1x_coco.py
# snnssl transfer CKPT --suite cells --data FOLDER
_base_ = 'retinanet_spikformer-8-512_fpn_1x_coco.py'
# Norms of their own batches, because the schedule is short and starts at random weights.
norm = dict(type='BN')
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=128, depth=2, num_heads=4),
        time_steps=2, norm_eval=False, with_cp=False),
    neck=dict(in_channels=[32, 64, 128, 128], out_channels=64, norm_cfg=norm),
    bbox_head=dict(
        type='RetinaSepBNHead',
        num_ins=5,
        norm_cfg=norm,
        num_classes=3,
        in_channels=64, feat_channels=64, stacked_convs=2,
        anchor_generator=dict(octave_base_scale=2)))

# Half of the photographs' 640x480 pixels
data_root = 'data/blood-cells/'
load = dict(type='LoadImageFromFile')
boxes = dict(type='LoadAnnotations', with_bbox=True)
resize = dict(type='Resize', scale=(320, 240), keep_ratio=True)
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackDetInputs')
cells = dict(
    data_root=data_root,
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=('RBC', 'WBC', 'Platelets')))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        ann_file='annotations/train.json',
        pipeline=[load, boxes, resize, flip, pack],
        **cells))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        ann_file='annotations/val.json', pipeline=[load, resize, boxes, pack], **cells))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

# 5 epochs of 52 iterations, one learning rate for all layers; levels share convolutions
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(layer_decay_rate=1.0, bypass_duplicate=True))
auto_scale_lr = dict(base_batch_size=4)
train_cfg = dict(max_epochs=5, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=51),
    dict(type='CosineAnnealingLR', begin=1, end=5, eta_min=1e-5,
         convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=5),
    keep_memory=dict(type='snnssl_mm.KeepMemoryHook'), seeds=None)
randomness = dict(seed=0)
