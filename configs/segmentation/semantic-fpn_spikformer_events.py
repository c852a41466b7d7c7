# Semantic FPN on simulated recordings of digits, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/_base_/models/fpn_r50.py
# The backbone of selfsup/spikformer_ctl_events.py.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth
_base_ = [
    'mmseg::_base_/models/fpn_r50.py',
    'mmseg::_base_/default_runtime.py',
    '../_base_/models/spikformer_events.py',
    '../_base_/datasets/multi_digit_event_segmentation.py',
    '../_base_/schedules/digits_transfer.py',
]
data_preprocessor = dict(
    type='SegDataPreProcessor',
    pad_val=0,
    seg_pad_val=255,
    size_divisor=8,
    test_cfg=dict(size_divisor=8))
model = dict(
    pretrained=None,
    data_preprocessor=dict(_delete_=True, **data_preprocessor),
    backbone=dict(_delete_=True, **_base_.spikformer),
    neck=_base_.pyramid,
    decode_head=dict(
        in_channels=[64, 64, 64],
        in_index=[0, 1, 2],
        feature_strides=_base_.strides,
        channels=64,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        # Nine out of ten pixels are background.
        loss_decode=dict(class_weight=[0.1] + [1.0] * 10)))
default_hooks = _base_.guards
log_processor = dict(by_epoch=True)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
