# MaxFormer 10-384 on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 10-384 configs of detection and segmentation start from.
_base_ = 'maxformer-10-512_ctl_in1k.py'
model = dict(backbone=dict(arch='10-384'), neck=dict(in_channels=384))
