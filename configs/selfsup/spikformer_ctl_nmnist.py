# The main job on N-MNIST, real recordings in data/n-mnist/{Train,Test}/<digit>/*.bin; its
# length is for 1,000 recordings. snnssl train configs/selfsup/spikformer_ctl_nmnist.py
_base_ = [
    '../_base_/models/spikformer_ctl_events.py',
    '../_base_/datasets/nmnist.py',
    '../_base_/schedules/adamw.py',
    '../_base_/default_runtime.py',
]
# 80 epochs of 31 iterations: as many as on digit events
optim_wrapper = dict(optimizer=dict(lr=1e-2))
train_cfg = dict(by_epoch=True, max_epochs=80)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=8, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=8, end=80, eta_min=1e-4,
         convert_to_iter_based=True),
]
default_hooks = dict(
    path_schedule=_base_.analog_first_frames,
    checkpoint=dict(interval=20),
    health=dict(interval=40),
    knn=dict(interval=20))
