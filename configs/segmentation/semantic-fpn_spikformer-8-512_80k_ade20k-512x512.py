# Semantic FPN ADE20K, 80k of the 160k of https://github.com/open-mmlab/mmsegmentation/blob/main/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py
# torchrun --nproc-per-node=4 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# Complete images are tested, padded to the largest stride.
model = dict(
    pretrained=None,
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(_delete_=True, **_base_.spikformer),
    neck=dict(in_channels=_base_.spikformer_channels))

# AdamW and 80k iterations, as PVT and PoolFormer train this head. 4 GPUs x 4 images.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    **_base_.layer_decay)
train_cfg = dict(max_iters=80_000, val_interval=8_000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=1_000),
    dict(type='PolyLR', power=0.9, eta_min=0., by_epoch=False, begin=1_000, end=80_000),
]
default_hooks = dict(
    _base_.guards,
    checkpoint=dict(type='snnssl_mm.AtomicCheckpointHook', interval=8_000))
auto_scale_lr = dict(base_batch_size=16)
