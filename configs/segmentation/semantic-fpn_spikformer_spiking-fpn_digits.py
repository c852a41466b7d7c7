# Semantic FPN on multi-digit scenes that spikes up to its last layer, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/_base_/models/fpn_r50.py
# snnssl train THIS --pretrained work_dirs/spikformer_ctl/epoch_28.pth
_base_ = 'semantic-fpn_spikformer_digits.py'
model = dict(
    backbone=dict(time_readout='none'),
    neck=dict(
        _delete_=True,
        type='snnssl_mm.SpikingNeck',
        neck=dict(type='FPN', **_base_.pyramid),
        time_readout='none'),
    decode_head=dict(type='snnssl_mm.SpikingFPNHead'))
