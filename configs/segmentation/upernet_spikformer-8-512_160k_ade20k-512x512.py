# UPerNet ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py
# torchrun --nproc-per-node=4 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# Complete images are tested, padded to the largest stride. The auxiliary head uses the
# output of the blocks.
model = dict(
    pretrained=None,
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(_delete_=True, **_base_.spikformer),
    decode_head=dict(in_channels=_base_.spikformer_channels),
    auxiliary_head=dict(in_channels=_base_.spikformer_channels[2]))

# AdamW with warm-up, as upstream's UPerNet for transformers. 4 GPUs x 4 images.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=6e-5, weight_decay=0.01),
    **_base_.layer_decay)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, end=1_500),
    dict(type='PolyLR', power=1.0, eta_min=0., by_epoch=False, begin=1_500, end=160_000),
]
default_hooks = _base_.guards
auto_scale_lr = dict(base_batch_size=16)
