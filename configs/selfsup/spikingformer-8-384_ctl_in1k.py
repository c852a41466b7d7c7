# Spikingformer 8-384 on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 8-384 configs of detection and segmentation start from.
_base_ = 'spikingformer-8-768_ctl_in1k.py'
model = dict(backbone=dict(arch='8-384'), neck=dict(in_channels=384))
