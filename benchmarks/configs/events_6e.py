# Six epochs of the main job on events, for ablations
_base_ = '../../configs/selfsup/spikformer_ctl_events.py'
train_cfg = dict(max_epochs=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=6, eta_min=1e-4,
         convert_to_iter_based=True),
]
default_hooks = dict(knn=dict(interval=6))
