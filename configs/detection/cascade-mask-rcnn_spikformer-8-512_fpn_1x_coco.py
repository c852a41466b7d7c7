# Cascade Mask R-CNN FPN 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    '../_base_/models/spikformer_pyramid.py',
    '../_base_/guards.py',
]
# Two images per GPU are too few for batch statistics: the checkpoint's are kept. From
# random weights (no --pretrained) there are none to keep: set norm_eval=False.
model = dict(
    backbone=dict(_delete_=True, norm_eval=True, **_base_.spikformer),
    neck=dict(in_channels=_base_.spikformer_channels))

# AdamW instead of SGD, as upstream for transformers. 8 GPUs x 2 images.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    **_base_.layer_decay)
default_hooks = _base_.guards
