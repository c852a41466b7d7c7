# SEW-ResNet-34 on ImageNet-1K, the recipe of spikformer-16-512_ctl_in1k.py; not run yet
# Its checkpoints are what the 34-layer configs of detection and segmentation start from.
_base_ = [
    'spikformer-16-512_ctl_in1k.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.sew_resnet_34),
    neck=dict(in_channels=512))
