# Mask R-CNN FPN on simulated recordings of digits, https://github.com/open-mmlab/mmdetection/blob/main/configs/_base_/models/mask-rcnn_r50_fpn.py
# The backbone of selfsup/spikformer_ctl_events.py; the heads are smaller, as the digits are.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/models/spikformer_events.py',
    '../_base_/datasets/multi_digit_event_detection.py',
    '../_base_/schedules/digits_transfer.py',
]
roi_extractor = dict(
    out_channels=64, featmap_strides=_base_.strides, finest_scale=8)
proposals = dict(nms_pre=200, max_per_img=100)
model = dict(
    data_preprocessor=dict(
        _delete_=True, type='DetDataPreprocessor', pad_mask=True, pad_size_divisor=8),
    backbone=dict(_delete_=True, **_base_.spikformer),
    neck=_base_.pyramid,
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4], ratios=[1.0, 2.0], strides=_base_.strides)),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=10),
        mask_roi_extractor=dict(roi_layer=dict(output_size=7), **roi_extractor),
        mask_head=dict(
            num_convs=2, in_channels=64, conv_out_channels=64, num_classes=10)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=proposals,
        rcnn=dict(sampler=dict(num=32), mask_size=14)),
    test_cfg=dict(rpn=proposals, rcnn=dict(max_per_img=20)))
default_hooks = _base_.guards
