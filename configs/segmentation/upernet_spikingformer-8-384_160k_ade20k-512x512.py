# UPerNet ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'upernet_spikingformer-8-768_160k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch='8-384'),
    decode_head=dict(in_channels=[192, 384, 384, 384]),
    auxiliary_head=dict(in_channels=384))
