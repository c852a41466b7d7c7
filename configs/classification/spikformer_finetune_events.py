# Fine-tuning on digit events, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# snnssl train THIS --pretrained work_dirs/spikformer_ctl_events/epoch_20.pth; without, the
# supervised baseline.
_base_ = 'spikformer_linear_events.py'
model = dict(
    backbone=dict(frozen_stages=-1, init_cfg=None),
    head=dict(_delete_=True, type='LinearClsHead', num_classes=10, in_channels=64))

train_dataloader = dict(
    batch_size=64, dataset=dict(pipeline=_base_.labelled_pipeline))
# 3 depths: the stem learns at 0.7 ** 2 = 0.49 of the rate.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05),
    constructor='snnssl_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.7, norm_decay_mult=0., bias_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=20, eta_min=1e-6,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=64)
