# RetinaNet FPN 1x COCO, https://github.com/open-mmlab/mmdetection/blob/main/configs/retinanet/retinanet_r50_fpn_1x_coco.py
_base_ = 'retinanet_maxformer-10-512_fpn_1x_coco.py'
model = dict(
    backbone=dict(arch='10-384'),
    neck=dict(in_channels=[96, 192, 384, 384]))
