# SEW-ResNet-34 on a folder of images at 32 pixels, the recipe of spikformer-4-384_ctl_folder32.py
_base_ = 'spikformer-4-384_ctl_folder32.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.SpikingResNet',
        depth=34,
        shortcut='sew',
        stem='cifar',
        time_steps=4),
    neck=dict(in_channels=512))
