# Semantic FPN ADE20K, 80k of the 160k of https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
# torchrun --nproc-per-node=4 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'semantic-fpn_spikformer-8-512_80k_ade20k-512x512.py',
    '../_base_/models/spike-driven-transformer_pyramid.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.pyramid),
    neck=dict(in_channels=_base_.pyramid_channels))
