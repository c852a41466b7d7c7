# Spikformer-2-256 on CIFAR10-DVS, 9,000 recordings, batch 64 on one GPU, 300 epochs
# snnssl train configs/selfsup/spikformer-2-256_ctl_cifar10dvs.py --amp
_base_ = [
    '../_base_/models/spikformer-2-256_ctl_events.py',
    '../_base_/datasets/cifar10_dvs.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]
# 1e-3 for batches of 256
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
auto_scale_lr = dict(base_batch_size=64)
# Analog views of 4 frames, each the mean of 4, first: docs/results/ablation.md
default_hooks = dict(
    path_schedule=dict(
        type='snnssl_mm.PathScheduleHook',
        stages=[
            dict(train_path='analog', train_time_steps=4),
            dict(begin=0.8, train_path='dual', train_time_steps=16),
        ]),
    logger=dict(interval=50),
    checkpoint=dict(interval=10),
    knn=dict(interval=10))
