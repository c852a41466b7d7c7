# UPerNet ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py
# torchrun --nproc-per-node=4 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'upernet_spikformer-8-512_160k_ade20k-512x512.py',
    '../_base_/models/maxformer_pyramid.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.pyramid),
    decode_head=dict(in_channels=_base_.pyramid_channels),
    auxiliary_head=dict(in_channels=_base_.pyramid_channels[2]))
optim_wrapper = dict(paramwise_cfg=_base_.pyramid_decay)
