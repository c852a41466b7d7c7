# Mask R-CNN FPN 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py
# torchrun --nproc-per-node=8 --no-python snnssl train CONFIG --pretrained CKPT --launcher pytorch
_base_ = [
    'mask-rcnn_spikformer-8-512_fpn_1x_coco.py',
    '../_base_/models/meta-spikeformer_pyramid.py',
]
model = dict(
    backbone=dict(_delete_=True, norm_eval=True, **_base_.pyramid),
    neck=dict(in_channels=_base_.pyramid_channels))
optim_wrapper = dict(paramwise_cfg=_base_.pyramid_decay)
