# SEW-ResNet-50 on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 50-layer configs of detection and segmentation start from.
_base_ = 'spiking-resnet-34_ctl_in1k.py'
model = dict(backbone=dict(depth=50), neck=dict(in_channels=2048))
