# Mask R-CNN FPN on simulated recordings of digits, https://github.com/open-mmlab/mmdetection/blob/main/configs/_base_/models/mask-rcnn_r50_fpn.py
# The backbone of selfsup/spikformer_ctl_events.py; the heads are smaller, as the digits are.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth
_base_ = [
    'mask-rcnn_spikformer_fpn_digits.py',
    '../_base_/datasets/multi_digit_events.py',
]
model = dict(
    data_preprocessor=dict(
        _delete_=True, type='DetDataPreprocessor', pad_mask=True, pad_size_divisor=8),
    backbone=dict(in_channels=2))
train_dataloader = dict(dataset=_base_.event_boxes_train)
val_dataloader = dict(dataset=_base_.event_boxes_test)
test_dataloader = val_dataloader
val_evaluator = _base_.event_boxes_file
test_evaluator = val_evaluator
