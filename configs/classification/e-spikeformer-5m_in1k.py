# E-SpikeFormer 5M with its official weights on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
_base_ = 'e-spikeformer-19m_in1k.py'
model = dict(backbone=dict(arch='5M'), head=dict(in_channels=192))
