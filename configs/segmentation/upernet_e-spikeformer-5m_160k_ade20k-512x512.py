# UPerNet ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'upernet_e-spikeformer-19m_160k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch='5M'),
    decode_head=dict(in_channels=[32, 64, 128, 192]),
    auxiliary_head=dict(in_channels=128))
