# Spike-driven Transformer 8-768 with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
_base_ = 'spike-driven-transformer-8-512_in1k.py'
model = dict(backbone=dict(arch='8-768'), head=dict(in_channels=768))
