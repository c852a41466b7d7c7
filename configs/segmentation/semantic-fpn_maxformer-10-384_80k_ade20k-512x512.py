# Semantic FPN ADE20K, 80k of the 160k of https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'semantic-fpn_maxformer-10-512_80k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch='10-384'),
    neck=dict(in_channels=[96, 192, 384, 384]))
