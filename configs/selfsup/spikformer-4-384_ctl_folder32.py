# Spikformer-4-384 on a folder of your own small images (32 pixels), as on CIFAR-10
# README: 'Your own images'. For 224 pixels inherit ../_base_/datasets/image_folder.py.
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/image_folder_32.py',
    '../_base_/schedules/adamw.py',
    '../_base_/default_runtime.py',
]
train_cfg = dict(by_epoch=True, max_epochs=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, end=300, eta_min=1e-6,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=256)
