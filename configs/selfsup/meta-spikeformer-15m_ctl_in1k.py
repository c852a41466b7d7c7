# Meta-SpikeFormer 15M on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 15M configs of detection and segmentation start from.
_base_ = 'meta-spikeformer-55m_ctl_in1k.py'
model = dict(backbone=dict(arch='15M'), neck=dict(in_channels=360))
