# Mask R-CNN FPN 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py
_base_ = 'mask-rcnn_meta-spikeformer-55m_fpn_1x_coco.py'
model = dict(
    backbone=dict(arch='15M'),
    neck=dict(in_channels=[64, 128, 256, 360]))
