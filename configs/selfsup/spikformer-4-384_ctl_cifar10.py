# Spikformer-4-384 on CIFAR-10, batch 256 on one GPU, 300 epochs
# snnssl train configs/selfsup/spikformer-4-384_ctl_cifar10.py --amp
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/cifar10_32.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/schedules/analog_first.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(
    path_schedule=_base_.analog_first,
    logger=dict(interval=50), checkpoint=dict(interval=10))
