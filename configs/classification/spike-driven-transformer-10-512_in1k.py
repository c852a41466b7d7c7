# Spike-driven Transformer 10-512 with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
_base_ = 'spike-driven-transformer-8-512_in1k.py'
model = dict(backbone=dict(arch='10-512'), head=dict(in_channels=512))
# 12 depths: the stem learns at 0.85 ** 11 = 0.17 of the rate.
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
