# Semantic FPN on simulated recordings of digits, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/_base_/models/fpn_r50.py
# The backbone of selfsup/spikformer_ctl_events.py.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth
_base_ = [
    'semantic-fpn_spikformer_digits.py',
    '../_base_/datasets/multi_digit_events.py',
]
data_preprocessor = dict(
    type='SegDataPreProcessor',
    pad_val=0,
    seg_pad_val=255,
    size_divisor=8,
    test_cfg=dict(size_divisor=8))
model = dict(
    data_preprocessor=dict(_delete_=True, **data_preprocessor),
    backbone=dict(in_channels=2, time_steps=4))
train_dataloader = dict(dataset=_base_.event_masks)
val_dataloader = dict(dataset=_base_.event_masks)
test_dataloader = val_dataloader
