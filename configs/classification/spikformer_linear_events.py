# Linear probe on digit events, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# The backbone of selfsup/spikformer_ctl_events.py. Agrees with snnssl probe --probes linear.
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth
_base_ = [
    'mmpretrain::_base_/schedules/cifar10_bs128.py',
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/models/spikformer_events.py',
    '../_base_/datasets/digit_events.py',
    '../_base_/guards.py',
]
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='snnssl_mm.ClipDataPreprocessor',
        data_preprocessor=dict(type='ClsDataPreprocessor', num_classes=10)),
    backbone=dict(
        _base_.spikformer,
        out_indices=(3, ),
        frozen_stages=1,  # the stem and the block
        # Filled in by --pretrained; a probe of random weights is refused.
        init_cfg=dict(type='snnssl_mm.BackboneInit', checkpoint='')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='snnssl_mm.NormalizedLinearClsHead', num_classes=10, in_channels=64))

train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=_base_.eval_pipeline))
val_dataloader = _base_.eval_test_dataloader
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_evaluator = val_evaluator

# The offline probe's penalty is 1 / 4,000 recordings.
optim_wrapper = dict(optimizer=dict(weight_decay=2.5e-4))
train_cfg = dict(max_epochs=20, val_interval=5)
auto_scale_lr = dict(base_batch_size=256)
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', T_max=20, begin=0, end=20)
randomness = dict(seed=0)
default_hooks = dict(
    _base_.guards,
    logger=dict(interval=15),
    checkpoint=dict(type='snnssl_mm.AtomicCheckpointHook', interval=20))
