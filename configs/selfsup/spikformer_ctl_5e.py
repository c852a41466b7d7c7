# The main job in 5 epochs without evaluation: one cell of snnssl ablate
_base_ = 'spikformer_ctl.py'
train_cfg = dict(max_epochs=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=5, eta_min=1e-4,
         convert_to_iter_based=True),
]
default_hooks = dict(
    checkpoint=dict(interval=5, max_keep_ckpts=1), health=None, knn=None, linear_probe=None)
