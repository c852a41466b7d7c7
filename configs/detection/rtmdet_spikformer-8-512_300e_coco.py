# RTMDet 300e COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/rtmdet/rtmdet_l_8xb32-300e_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# Strides 8, 16 and 32; images of 640 pixels, normalised as in pretraining.
model = dict(
    data_preprocessor=_base_.imagenet_pixels,
    backbone=dict(
        _delete_=True, **{**_base_.spikformer, 'out_indices': (1, 2, 3)}),
    neck=dict(in_channels=_base_.spikformer_channels[1:]))

# A quarter of upstream's rate: pretrained layers learn at less still. 8 GPUs x 32 images.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    **_base_.layer_decay)
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(
    _base_.guards,
    checkpoint=dict(type='snnssl_mm.AtomicCheckpointHook', interval=10))
