# Fine-tuning on ImageNet-1K, https://github.com/open-mmlab/mmpretrain/blob/main/configs/mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
# Without --pretrained it is the supervised baseline. Not run yet.
_base_ = [
    'mmpretrain::mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py',
    '../_base_/guards.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='snnssl_mm.Spikformer',
        arch='16-512',
        stem='imagenet',
        with_cp=True),
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(in_channels=512))

# 8 GPUs x 128 images; 18 depths: the stem learns at 0.9 ** 17 = 0.17 of the rate.
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    constructor='snnssl_mm.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.9,
        norm_decay_mult=0.,
        bias_decay_mult=0.))
default_hooks = _base_.guards
