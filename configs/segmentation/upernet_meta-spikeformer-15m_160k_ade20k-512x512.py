# UPerNet ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py
_base_ = 'upernet_meta-spikeformer-55m_160k_ade20k-512x512.py'
model = dict(
    backbone=dict(arch='15M'),
    decode_head=dict(in_channels=[64, 128, 256, 360]),
    auxiliary_head=dict(in_channels=256))
