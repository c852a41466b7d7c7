# Spikformer-4-384 on CIFAR-10, batch 256 on one GPU, 300 epochs
# python tools/train.py configs/selfsup/spikformer-4-384_ctl_cifar10.py --amp
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/cifar10_32.py',
    '../_base_/schedules/adamw.py',
    '../_base_/default_runtime.py',
]
train_cfg = dict(by_epoch=True, max_epochs=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=300, eta_min=1e-6,
         convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=10))
auto_scale_lr = dict(base_batch_size=256)
