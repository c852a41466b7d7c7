# SEW-ResNet-34 on a folder of images at 32 pixels, the recipe of spikformer-4-384_ctl_folder32.py
_base_ = [
    'spikformer-4-384_ctl_folder32.py',
    '../_base_/models/spiking-resnet.py',
]
model = dict(
    backbone=dict(_delete_=True, **{**_base_.sew_resnet_34, 'stem': 'cifar'}),
    neck=dict(in_channels=512))
