# RetinaNet FPN on simulated recordings of digits, https://github.com/open-mmlab/mmdetection/blob/main/configs/_base_/models/retinanet_r50_fpn.py
# The backbone of selfsup/spikformer_ctl_events.py; the heads are smaller, as the digits are.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/models/spikformer_events.py',
    '../_base_/datasets/multi_digit_event_detection.py',
    '../_base_/schedules/digits_transfer.py',
]
# Without norms, 225 iterations would be too few; every level has its own statistics.
norm = dict(type='BN')
model = dict(
    data_preprocessor=dict(
        _delete_=True, type='DetDataPreprocessor', pad_size_divisor=8),
    backbone=dict(_delete_=True, **_base_.spikformer),
    neck=dict(_delete_=True, type='FPN', norm_cfg=norm, **_base_.pyramid),
    bbox_head=dict(
        type='RetinaSepBNHead',
        num_ins=3,
        norm_cfg=norm,
        num_classes=10,
        in_channels=64,
        feat_channels=64,
        stacked_convs=1,
        anchor_generator=dict(
            octave_base_scale=4,
            scales_per_octave=1,
            ratios=[1.0, 2.0],
            strides=_base_.strides)),
    test_cfg=dict(nms_pre=200, max_per_img=20))
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
default_hooks = _base_.guards
# The levels share their convolutions.
optim_wrapper = dict(
    optimizer=dict(lr=5e-3), paramwise_cfg=dict(bypass_duplicate=True))
