# MaxFormer 10-768 with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# For the files -T1: --cfg-options model.backbone.time_steps=1
_base_ = 'maxformer-10-512_in1k.py'
model = dict(backbone=dict(arch='10-768'), head=dict(in_channels=768))
