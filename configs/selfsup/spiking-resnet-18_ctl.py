# The main job with a SEW-ResNet-18 of 16 channels
# snnssl train configs/selfsup/spiking-resnet-18_ctl.py
_base_ = [
    'spikformer_ctl.py',
    '../_base_/models/spiking-resnet.py',
]
# Images of 16 pixels end in maps of 4x4, as the Spikformer's do.
model = dict(
    backbone=dict(
        _delete_=True,
        base_channels=16,
        bn='per_view',
        strides=(1, 2, 2, 1),
        **_base_.sew_resnet_18_cifar),
    neck=dict(in_channels=128))

train_cfg = dict(max_epochs=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=10, eta_min=1e-4,
         convert_to_iter_based=True),
]
default_hooks = dict(
    checkpoint=dict(interval=5), health=dict(interval=5), knn=dict(interval=5))
