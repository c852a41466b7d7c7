# Semantic FPN ADE20K, 80k of the 160k of https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'semantic-fpn_spikformer-8-512_80k_ade20k-512x512.py'
model = dict(backbone=dict(arch='16-512'))
# 18 depths: the stem learns at 0.9 ** 17 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
