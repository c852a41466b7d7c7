# Mask R-CNN FPN 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py
_base_ = 'mask-rcnn_e-spikeformer-19m_fpn_1x_coco.py'
model = dict(
    backbone=dict(arch='5M'),
    neck=dict(in_channels=[32, 64, 128, 192]))
