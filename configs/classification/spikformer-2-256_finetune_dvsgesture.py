# Fine-tuning on DVS128 Gesture, https://github.com/open-mmlab/mmpretrain/blob/main/configs/_base_/schedules/cifar10_bs128.py
# snnssl train CONFIG --pretrained CKPT, with a checkpoint of
# configs/selfsup/spikformer-2-256_ctl_dvsgesture.py; without, the supervised baseline.
_base_ = 'spikformer-2-256_linear_dvsgesture.py'
model = dict(
    backbone=dict(frozen_stages=-1, init_cfg=None),
    head=dict(_delete_=True, type='LinearClsHead', num_classes=11, in_channels=256))

# 4 depths: the stem learns at 0.7 ** 3 = 0.34 of the rate.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05),
    constructor='snnssl_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.7, norm_decay_mult=0., bias_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=5, end=100, eta_min=1e-6,
         convert_to_iter_based=True),
]
