# Semantic FPN ADE20K, 80k of the 160k of https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'semantic-fpn_meta-spikeformer-55m_80k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch='15M'),
    neck=dict(in_channels=[64, 128, 256, 360]))
