# The main job: a small Spikformer learns digit scenes without labels (about 6 minutes
# on two CPU cores). snnssl train configs/selfsup/spikformer_ctl.py
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/digit_scenes.py',
    '../_base_/schedules/adamw.py',
    '../_base_/schedules/analog_first.py',
    '../_base_/default_runtime.py',
]
model = dict(
    # A view normalised with its partner's statistics could see the partner through them.
    projector_bn='per_view',
    backbone=dict(
        arch=dict(embed_dims=64, depth=1, num_heads=4), bn='per_view'),
    neck=dict(in_channels=64, hid_channels=512, out_channels=512))

# 28 epochs of 62 iterations, so few that they need a high learning rate
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=1e-2))
train_cfg = dict(by_epoch=True, max_epochs=28)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=2, end=28, eta_min=1e-4,
         convert_to_iter_based=True),
]
default_hooks = dict(
    path_schedule=_base_.analog_first,
    checkpoint=dict(interval=7),  # an epoch takes seconds, and a checkpoint half a one
    health=dict(interval=14),
    knn=dict(interval=7))
