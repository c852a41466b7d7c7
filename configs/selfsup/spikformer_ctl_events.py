# The main job on events: a small Spikformer learns simulated recordings of digits without
# labels, T = 4 frames of OFF and ON events. snnssl train configs/selfsup/spikformer_ctl_events.py
_base_ = [
    '../_base_/models/spikformer_ctl_events.py',
    '../_base_/datasets/digit_events.py',
    '../_base_/schedules/adamw.py',
    '../_base_/default_runtime.py',
]
# 20 epochs of 125 iterations, so few that they need a high learning rate
optim_wrapper = dict(optimizer=dict(lr=1e-2))
train_cfg = dict(by_epoch=True, max_epochs=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=2, end=20, eta_min=1e-4,
         convert_to_iter_based=True),
]
default_hooks = dict(
    path_schedule=_base_.analog_first_frames,
    checkpoint=dict(interval=5),
    health=dict(interval=10),
    knn=dict(interval=5))
