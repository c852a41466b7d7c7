# SegFormer's head ADE20K 160k, https://github.com/open-mmlab/mmsegmentation/blob/main/configs/segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# Complete images are tested, padded to the largest stride.
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(_delete_=True, **_base_.spikformer),
    decode_head=dict(in_channels=_base_.spikformer_channels))

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    **_base_.layer_decay)
default_hooks = _base_.guards
