# Fine-tuning on multi-digit scenes: 12 epochs of 25 iterations
_base_ = 'adamw.py'
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=12)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=12, eta_min=1e-5,
         convert_to_iter_based=True),
]
custom_hooks = [
    dict(type='snnssl_mm.KeepMemoryHook'),
    dict(type='snnssl_mm.NonFiniteHook'),
]
