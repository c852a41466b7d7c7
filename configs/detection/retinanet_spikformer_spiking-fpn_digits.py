# RetinaNet FPN on multi-digit scenes that spikes up to its last layers, https://github.com/open-mmlab/mmdetection/blob/main/configs/_base_/models/retinanet_r50_fpn.py
# snnssl train THIS --pretrained work_dirs/spikformer_ctl/epoch_28.pth
_base_ = 'retinanet_spikformer_fpn_digits.py'
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(_delete_=True, **_base_.spiking_pyramid),
    bbox_head=dict(type='snnssl_mm.SpikingRetinaSepBNHead', **_base_.spiking))
