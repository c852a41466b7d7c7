# The main job: a small Spikformer learns digit scenes without labels (about 5 minutes
# on two CPU cores). python tools/train.py configs/selfsup/spikformer_ctl.py
_base_ = [
    '../_base_/models/spikformer_ctl.py',
    '../_base_/datasets/digit_scenes.py',
    '../_base_/schedules/adamw.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(arch=dict(embed_dims=128, depth=2, num_heads=4)),
    neck=dict(in_channels=128, hid_channels=512, out_channels=512))

max_epochs = 12
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, T_max=max_epochs - 1, eta_min=1e-6,
         convert_to_iter_based=True),
]
train_dataloader = dict(persistent_workers=False)
