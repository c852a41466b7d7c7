# Semantic FPN ADE20K, 80k of the 160k of https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'semantic-fpn_spikformer-8-512_80k_ade20k-512x512.py'
model = dict(backbone=dict(arch='4-384'), neck=dict(in_channels=[96, 192, 384, 384]))
# 6 depths: the stem learns at 0.7 ** 5 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
