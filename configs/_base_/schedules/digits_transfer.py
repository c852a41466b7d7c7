# Fine-tuning on multi-digit scenes: 9 epochs of 25 iterations
_base_ = 'adamw.py'
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=9, val_interval=9)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=9, eta_min=1e-5,
         convert_to_iter_based=True),
]
# A checkpoint every 9 epochs; configs use it by default_hooks = _base_.guards
guards = dict(
    runtime_info=dict(type='snnssl_mm.LazyInfoHook'),
    logger=dict(type='LoggerHook', interval=25),
    checkpoint=dict(type='snnssl_mm.AtomicCheckpointHook', interval=9),
    keep_memory=dict(type='snnssl_mm.KeepMemoryHook'),
    non_finite=dict(type='snnssl_mm.NonFiniteHook'))
