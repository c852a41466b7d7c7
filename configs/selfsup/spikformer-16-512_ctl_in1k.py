# Spikformer-16-512 on ImageNet-1K, 32 GPUs x 64 images, 100 epochs
# The paper reports 70.1 % top-1 for this backbone (linear probe); its recipe is not
# public, and this one, a reconstruction in the manner of Barlow Twins, has not been run.
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/lars.py',
    '../_base_/schedules/analog_first.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(arch='16-512', stem='imagenet'),
    neck=dict(in_channels=512, hid_channels=2048))

train_cfg = dict(by_epoch=True, max_epochs=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=100, eta_min=0.0016,
         convert_to_iter_based=True),
]
sync_bn = 'torch'
default_hooks = dict(
    path_schedule=_base_.analog_first,
    logger=dict(interval=100), health=dict(interval=10), knn=dict(interval=10))
max_probe_samples = 10_000
