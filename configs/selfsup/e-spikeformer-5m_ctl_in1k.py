# E-SpikeFormer 5M on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 5M configs of detection and segmentation start from.
_base_ = 'e-spikeformer-19m_ctl_in1k.py'
model = dict(backbone=dict(arch='5M'), neck=dict(in_channels=192))
