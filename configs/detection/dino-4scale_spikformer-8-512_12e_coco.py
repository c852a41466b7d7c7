# DINO 12e COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/dino/dino-4scale_r50_8xb2-12e_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# Two images per GPU are too few for batch statistics: the checkpoint's are kept. From
# random weights (no --pretrained) there are none to keep: set norm_eval=False.
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        norm_eval=True,
        **{**_base_.spikformer, 'out_indices': (1, 2, 3)}),
    neck=dict(in_channels=_base_.spikformer_channels[1:]))
default_hooks = _base_.guards
